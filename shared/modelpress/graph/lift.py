"""Lifting: an exported aten graph becomes an ``fx.GraphModule`` whose parametrised operators are ``torch.nn`` leaves.

A call such as ``aten.conv2d(x, w, b, ...)`` whose weights are the model's own becomes a call of an ``nn.Conv2d`` at
the weight's module path; in-place operators become their pure forms; everything else stays an enumerated call.
Leaves are shared by weight and configuration, so a layer that is called many times stays one layer.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from modelpress.errors import ExportError
from modelpress.graph import names, operators
from modelpress.graph.canonical import alias_free, functional_form

aten = torch.ops.aten
Weights = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Leaf:
    """A layer seen in the graph: which argument is its input, which are its weights, and how to build it.

    ``weights`` maps the leaf's own tensor names to argument names; ``build`` gets the call's arguments by name (weights
    as tensors) and returns the module on the meta device, to which the weights are then assigned.
    """

    input: str
    weights: Mapping[str, str]
    build: Callable[[Mapping[str, Any], int], nn.Module | None]


def _conv(kind: type[nn.Module]) -> Callable[[Mapping[str, Any], int], nn.Module]:
    def build(a: Mapping[str, Any], rank: int) -> nn.Module:
        w, groups = a["weight"], a["groups"]
        n = w.ndim - 2

        def spread(v: Any) -> Any:
            return v if isinstance(v, str) else tuple(v) * (n if len(v) == 1 else 1)

        sizes = {k: spread(a[k]) for k in ("stride", "padding", "dilation")}
        return kind(
            w.shape[1] * groups, w.shape[0], tuple(w.shape[2:]), groups=groups, bias=a["bias"] is not None, **sizes
        )

    return build


def _linear(a: Mapping[str, Any], rank: int) -> nn.Module:
    return nn.Linear(a["weight"].shape[1], a["weight"].shape[0], bias=a["bias"] is not None)


def _batch_norm(a: Mapping[str, Any], rank: int) -> nn.Module | None:
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    tracked, affine = a["running_mean"] is not None, a["weight"] is not None
    if not (tracked or affine) or rank not in kinds:
        return None
    width = (a["running_mean"] if tracked else a["weight"]).shape[0]
    return kinds[rank](width, a["eps"], a["momentum"], affine, tracked, bias=a["bias"] is not None)


def _layer_norm(a: Mapping[str, Any], rank: int) -> nn.Module:
    affine = a["weight"] is not None
    return nn.LayerNorm(tuple(a["normalized_shape"]), a["eps"], affine, bias=a["bias"] is not None)


def _group_norm(a: Mapping[str, Any], rank: int) -> nn.Module | None:
    if a["weight"] is None or a["bias"] is None:
        return None
    return nn.GroupNorm(a["num_groups"], a["weight"].shape[0], a["eps"])


def _embedding(a: Mapping[str, Any], rank: int) -> nn.Module | None:
    if a["scale_grad_by_freq"] or a["sparse"]:
        return None
    padding = a["padding_idx"]
    rows, width = a["weight"].shape
    return nn.Embedding(rows, width, padding_idx=padding if padding >= 0 else None)


_AFFINE = {"weight": "weight", "bias": "bias"}
_STATS = {**_AFFINE, "running_mean": "running_mean", "running_var": "running_var"}
LEAVES: Mapping[Any, Leaf] = {
    aten.conv1d.default: Leaf("input", _AFFINE, _conv(nn.Conv1d)),
    aten.conv2d.default: Leaf("input", _AFFINE, _conv(nn.Conv2d)),
    aten.conv2d.padding: Leaf("input", _AFFINE, _conv(nn.Conv2d)),
    aten.conv3d.default: Leaf("input", _AFFINE, _conv(nn.Conv3d)),
    aten.linear.default: Leaf("input", _AFFINE, _linear),
    aten.batch_norm.default: Leaf("input", _STATS, _batch_norm),
    aten.layer_norm.default: Leaf("input", _AFFINE, _layer_norm),
    aten.group_norm.default: Leaf("input", _AFFINE, _group_norm),
    aten.embedding.default: Leaf("indices", {"weight": "weight"}, _embedding),
}
DROPOUTS = (aten.dropout.default, aten.dropout_.default)


@dataclass
class Lifter:
    """One lifting: the exported module, the graph that grows, and the leaves made so far."""

    source: fx.GraphModule
    momenta: Mapping[str, float | None]
    root: nn.Module = field(default_factory=nn.Module)
    graph: fx.Graph = field(default_factory=fx.Graph)
    made: dict[Any, str] = field(default_factory=dict)
    new: dict[fx.Node, Any] = field(default_factory=dict)

    def run(self, out_spec: pytree.TreeSpec) -> fx.GraphModule:
        """Lift every node.

        Raises:
            ExportError: an operator that the format does not hold; names it and the user's line.
        """
        alias_free(self.source.graph)
        for node in self.source.graph.nodes:
            if node.op == "placeholder":
                self.new[node] = self._placeholder(node)
            elif node.op == "call_function":
                self.new[node] = self._call(node)
            elif node.op == "output":
                self.graph.output(pytree.tree_unflatten([self._value(a) for a in node.args[0]], out_spec))
        self.graph.lint()
        return fx.GraphModule(self.root, self.graph)

    def _placeholder(self, node: fx.Node) -> fx.Node:
        name = node.name if names.is_input_name(node.name) else f"input_{len(self.new)}"
        return self.graph.placeholder(name)

    def _call(self, node: fx.Node) -> Any:
        if node.target in LEAVES:
            path = self._leaf(node, LEAVES[node.target])
            if path is not None:
                return self.graph.call_module(path, (self._value(_bound(node)[LEAVES[node.target].input]),))
        if node.target in DROPOUTS and node.args[2] is False:
            path = self._dropout(node)
            return self.graph.call_module(path, (self._value(node.args[0]),))
        target = functional_form(node.target)
        if target not in operators.names() and target is not operator.getitem:
            raise ExportError(f"the operator {node.target} is not in the format yet{_user_line(node)}")
        args = fx.map_arg(node.args, self._value)
        return self.graph.call_function(target, args, fx.map_arg(node.kwargs, self._value))

    def _value(self, value: Any) -> Any:
        """The new graph's counterpart of an argument; a tensor of the model is fetched where it is first used."""
        if not isinstance(value, fx.Node):
            return value
        if value.op == "get_attr" and value not in self.new:
            tensor = _fetch(self.source, str(value.target))
            path = _register(self.root, names.clean(str(value.target)), tensor)
            self.new[value] = self.graph.get_attr(path)
        return self.new[value]

    def _leaf(self, node: fx.Node, leaf: Leaf) -> str | None:
        """Path of the leaf for this call, made if it is new; None where it has none of the model's own."""
        bound = _bound(node)
        sources = {name: bound[argument] for name, argument in leaf.weights.items()}
        owned = [v for v in sources.values() if v is not None]
        if not owned or any(v.op != "get_attr" for v in owned):
            return None
        tensors = {k: None if v is None else _fetch(self.source, str(v.target)) for k, v in sources.items()}
        if any(t is not None and not isinstance(t, nn.Parameter) for k, t in tensors.items() if k in _AFFINE):
            return None  # a fixed kernel: a leaf's weights are parameters
        data = node.args[0] if leaf.input == "input" else node.args[1]
        with torch.device("meta"):
            module = leaf.build({**bound, **{leaf.weights[k]: t for k, t in tensors.items()}}, _rank(data))
        if module is None:
            return None
        owner = str(owned[0].target)
        key = (type(module), repr(module), tuple(None if v is None else str(v.target) for v in sources.values()))
        if key not in self.made:
            self._fill(module, tensors, owner)
            self.made[key] = _put(self.root, _leaf_path(owner), module.eval())
        return self.made[key]

    def _fill(self, module: nn.Module, tensors: Mapping[str, Tensor | None], owner: str) -> None:
        for name, tensor in tensors.items():
            if tensor is not None:
                setattr(module, name, tensor)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            prefix = owner.rpartition(".")[0]
            counter = self.source.state_dict().get(f"{prefix}.num_batches_tracked" if prefix else "num_batches_tracked")
            module.num_batches_tracked = torch.tensor(0) if counter is None else counter
            module.momentum = self.momenta.get(prefix, module.momentum)

    def _dropout(self, node: fx.Node) -> str:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        owner, kind = (str(stack[-1][0]), str(stack[-1][1])) if stack else ("", "")
        path = owner if owner and kind.rpartition(".")[2] == "Dropout" else f"{owner}.dropout".lstrip(".")
        return _put(self.root, names.clean(path), nn.Dropout(float(node.args[1])).eval())  # type: ignore[arg-type]


def _bound(node: fx.Node) -> dict[str, Any]:
    """The call's arguments by the schema's names, defaults filled."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = dict(zip((a.name for a in schema), node.args, strict=False)) | dict(node.kwargs)
    return {a.name: given.get(a.name, a.default_value) for a in schema}


def _rank(node: Any) -> int:
    return int(node.meta["val"].ndim)


def _fetch(module: nn.Module, path: str) -> Tensor:
    owner, _, name = path.rpartition(".")
    tensor = getattr(module.get_submodule(owner), name)
    if not isinstance(tensor, Tensor):
        raise ExportError(f"'{path}' of the exported module is a {type(tensor).__name__}, not a tensor")
    return tensor


def _leaf_path(owner: str) -> str:
    """Path of the leaf that owns the tensor ``owner``: ``fc`` for ``fc.weight``, ``kernel`` for ``kernel``."""
    prefix, _, name = owner.rpartition(".")
    return names.clean(prefix if prefix and name in ("weight", "running_mean") else owner)


def _put(root: nn.Module, path: str, module: nn.Module) -> str:
    """Add ``module`` at ``path`` or, where something stands already, at the next free ``path_k``; return where."""
    parent_path, _, name = path.rpartition(".")
    parent = _ensure(root, parent_path)
    free = _free_name(parent, name, module)
    parent.add_module(free, module)
    return f"{parent_path}.{free}" if parent_path else free


def _register(root: nn.Module, path: str, tensor: Tensor) -> str:
    """Put ``tensor`` at ``path``, or at the next free one where something else stands; return where."""
    owner, _, name = path.rpartition(".")
    parent = _ensure(root, owner)
    free = _free_name(parent, name, tensor)
    if isinstance(tensor, nn.Parameter):
        parent.register_parameter(free, tensor)
    else:
        parent.register_buffer(free, tensor)
    return f"{owner}.{free}" if owner else free


def _free_name(parent: nn.Module, name: str, own: object) -> str:
    """``name``, or ``name_1``, ``name_2``... where ``parent`` has something else than ``own`` under it."""
    free, k = name, 1
    while getattr(parent, free, own) is not own:
        free, k = f"{name}_{k}", k + 1
    return free


def _ensure(root: nn.Module, path: str) -> nn.Module:
    for part in filter(None, path.split(".")):
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    return root


def _user_line(node: fx.Node) -> str:
    """``, called at model.py:31 in forward: x = torch.fft.fft(x)``, from the trace that export kept."""
    lines = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines() if line.strip()]
    if len(lines) < 2:
        return ""
    return f", called at {lines[-2].removeprefix('File ')}: {lines[-1]}"
