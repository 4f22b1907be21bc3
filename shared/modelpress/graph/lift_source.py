"""Reading an exported graph: a call's arguments by name, its tensors, the module and the line of code it came from."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, fx, nn

from modelpress.errors import ExportError

MAX_CODE = 200
"""Characters of the user's line that a message shows."""


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
    """``, called at model.py:31 in forward: x = torch.fft.fft(x)``, from the trace that export kept."""
    lines = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines() if line.strip()]
    frames = [pair for pair in pairwise(lines) if pair[0].startswith('File "') and not pair[0].startswith('File "<')]
    if not frames:
        return ""
    place, code = frames[-1]
    return f", called at {place.removeprefix('File ')}: {code[:MAX_CODE]}"
