"""Reading an exported graph: a call's arguments by name, its tensors, the module and the line of code it came from."""

from __future__ import annotations

import os
import re
import traceback
from itertools import pairwise
from pathlib import PureWindowsPath
from typing import Any

import torch
from torch import Tensor, fx, nn

import modelpress
from modelpress.errors import ExportError

MAX_CODE = 200
"""Characters of the user's line that a message shows."""
CALLED_AT = ", called at "
_INSTALLED = ("site-packages", "dist-packages")
_PLACE = re.compile(r'File "(?P<path>[^<][^"]*)", line (?P<line>\d+)')
_TORCH, _OWN = (package.__path__[0] + os.sep for package in (torch, modelpress))


def bound(node: fx.Node) -> dict[str, Any]:
    """The call's arguments by the schema's names, defaults filled."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = dict(zip((a.name for a in schema), node.args, strict=False)) | dict(node.kwargs)
    return {a.name: given.get(a.name, a.default_value) for a in schema}


def rank(node: fx.Node) -> int:
    return int(node.meta["val"].ndim)


def is_owned(value: Any) -> bool:
    """Whether an argument is a tensor of the model itself, fetched and not computed."""
    return isinstance(value, fx.Node) and value.op == "get_attr"


def fetch(module: nn.Module, path: str) -> Tensor:
    owner, _, name = path.rpartition(".")
    tensor = getattr(module.get_submodule(owner), name)
    if not isinstance(tensor, Tensor):
        raise ExportError(f"'{path}' of the exported module is a {type(tensor).__name__}, not a tensor")
    return tensor


def owner(node: fx.Node) -> tuple[str, str]:
    """Path and class name of the innermost module whose ``forward`` made the call; empty where that is unknown."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return "", ""
    path, kind = stack[-1]
    return str(path), (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]


def user_line(node: fx.Node) -> str:
    """``, called at model.py:31: x = torch.fft.fft(x)``, from the trace that export kept; empty without one.

    The innermost line that is not torch's own, if there is one.
    """
    lines = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines()]
    found = [(match, code) for place, code in pairwise(lines) if (match := _PLACE.match(place))]
    theirs = [pair for pair in found if not pair[0]["path"].startswith(_TORCH)] or found
    return called_at(theirs[-1][0]["path"], theirs[-1][0]["line"], theirs[-1][1]) if theirs else ""


def called_at(path: str, line: int | str, code: str) -> str:
    """``, called at model.py:31: x = torch.fft.fft(x)``."""
    return f"{CALLED_AT}{short_path(path)}:{line}: {code[:MAX_CODE]}"


def short_path(path: str) -> str:
    """``timm/layers/attention.py`` of an installed file; of any other its name alone, which is no one's path."""
    parts = PureWindowsPath(path).parts  # which takes both kinds of slash
    roots = [i for i, part in enumerate(parts) if part in _INSTALLED]
    return "/".join(parts[roots[-1] + 1 :] if roots else parts[-1:])


def raised_at(error: Exception) -> str:
    """`called_at` of the user's code, innermost, that an error went through; empty where it went through none."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((_TORCH, _OWN, "<"))]
    return called_at(frames[-1].filename, frames[-1].lineno or 0, frames[-1].line or "") if frames else ""
