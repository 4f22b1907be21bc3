"""Names that may stand in a graph. A GraphModule built from strings runs code through them, so few are let in."""

from __future__ import annotations

import builtins
import keyword
import re
from functools import cache

import torch
from torch import fx, nn

SEGMENT = re.compile(r"[A-Za-z0-9_]{1,200}")
MAX_DEPTH = 24
WORDS_OF_SOURCE = frozenset(
    ("self", "torch", "device", "inf", "nan", "getattr", "pytree", "fx_pytree", "NoneType")
)  # fmt: skip
"""What the source that torch writes for a graph means by these names must not be an input."""
MAX_LETTERS = 400
"""Of a path: the source that torch writes for a graph holds each many times."""


@cache
def reserved() -> frozenset[str]:
    """Attributes of a module that a child or a parameter must not hide."""
    probe = fx.GraphModule(nn.Module(), fx.Graph())
    return frozenset(dir(probe)) | frozenset(vars(torch.nn.Module()))


def is_segment(text: str) -> bool:
    """One step of a path: letters, digits, underscores; no keyword, no dunder, nothing that hides an attribute."""
    sound = SEGMENT.fullmatch(text) is not None and not keyword.iskeyword(text) and not text.startswith("__")
    return sound and text not in reserved()


def is_path(text: str) -> bool:
    parts = text.split(".")
    return len(text) <= MAX_LETTERS and len(parts) <= MAX_DEPTH and all(is_segment(p) for p in parts)


def is_input_name(text: str) -> bool:
    return is_segment(text) and text.isidentifier() and text not in WORDS_OF_SOURCE


def placeholder(graph: fx.Graph, name: str) -> fx.Node:
    """The input ``name`` of ``graph``.

    Left to itself, torch calls the node of an input that hides a builtin (``input``) ``input_1``, and an input that
    really is ``input_1`` then has the value of the other: no input's name begins as ours does.
    """
    return graph.create_node("placeholder", name, name=f"__{name}" if hasattr(builtins, name) else name)


def clean(path: str) -> str:
    """``path`` with every segment that may not stand in a graph renamed (``forward`` becomes ``forward_``)."""
    return ".".join(p if is_segment(p) else _clean_segment(p) for p in path.split("."))


def _clean_segment(part: str) -> str:
    letters = re.sub(r"[^A-Za-z0-9_]", "_", part).lstrip("_")
    return f"{letters}_" if letters else "x_"
