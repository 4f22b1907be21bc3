"""The reference for axes that are not exact: the whole graph, its norms and means taken over what stays only.

Removing zeroed channels under a layer norm changes its output, since the norm divides by the width. What a removal
must then give is what the unpruned graph gives when every operator that counts, compares or sums sees nothing but the
indices that stay. Nothing here uses the removal's own code: tensors keep their full sizes between operators, and
leave gaps of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from modelpress.graph.axes import Axes
from modelpress.graph.axes.call import Value
from modelpress.graph.axes.einsum import EINSUM
from modelpress.graph.axes.expr import Dims, Expr
from modelpress.graph.axes.indices import Keep, kept, kept_size
from modelpress.graph.axes.reductions import REDUCTIONS
from modelpress.graph.behaviour import Attention
from modelpress.graph.model import Model

aten = torch.ops.aten
NORMS = (aten.layer_norm.default, aten.rms_norm.default, aten.group_norm.default, aten.batch_norm.default)
COUNTING = frozenset({*REDUCTIONS, *EINSUM, *NORMS})


def kept_only(model: Model, axes: Axes, keep: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> Any:
    """Outputs of ``model`` in evaluation, its operators blind to the indices that ``keep`` lacks.

    Args:
        model: the unpruned one, the parameters of those indices at zero.
        keep: axis name -> indices that stay, int64, as for `modelpress.graph.axes.remove`.
    """
    chosen = {axes.atom(axes.axis(name)): indices.sort().values for name, indices in keep.items()}
    with torch.no_grad():
        return _KeptOnly(model.module, axes, chosen).run(*inputs)


class _KeptOnly(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, axes: Axes, keep: Keep) -> None:
        super().__init__(module)
        self.axes, self.keep = axes, keep

    def run_node(self, n: fx.Node) -> Any:
        if not self._counts(n):
            return super().run_node(n)
        narrow = {source: self._narrow(self.env[source], self._dims(source)) for source in n.all_input_nodes}
        args, kwargs = fx.map_arg((n.args, n.kwargs), narrow.__getitem__)
        out = self._leaf(n, args) if n.op == "call_module" else self._operator(n, args, kwargs)
        return self._widen(out, self.axes.values[n.name])

    def _counts(self, n: fx.Node) -> bool:
        if n.op == "call_module":
            return isinstance(self.fetch_attr(str(n.target)), nn.LayerNorm | nn.RMSNorm | nn.GroupNorm | Attention)
        return n.op == "call_function" and n.target in COUNTING

    def _dims(self, n: fx.Node) -> Dims:
        value = self.axes.values[n.name]
        return value if isinstance(value, list) else []

    def _narrow(self, tensor: Tensor, dims: Dims) -> Tensor:
        for i, dim in enumerate(dims):
            if self._shrinks(dim):
                tensor = tensor.index_select(i, kept(dim, self.keep))
        return tensor

    def _widen(self, value: Any, dims: Value) -> Any:
        """Back to full size, zero where something was left out."""
        if isinstance(dims, tuple):
            return tuple(self._widen(part, own) for part, own in zip(value, dims, strict=True))
        for i, dim in enumerate(dims or []):
            if self._shrinks(dim):
                shape = [*value.shape[:i], dim.size, *value.shape[i + 1 :]]
                value = value.new_zeros(shape).index_copy(i, kept(dim, self.keep), value)
        return value

    def _shrinks(self, dim: Expr) -> bool:
        return kept_size(dim, self.keep) != dim.size

    def _leaf(self, n: fx.Node, args: Any) -> Tensor:
        leaf = self.fetch_attr(str(n.target))
        if isinstance(leaf, Attention):
            out: Tensor = leaf(*args)
            return out
        weight, bias = (self._parameter(n, leaf, name) for name in ("weight", "bias"))
        if isinstance(leaf, nn.GroupNorm):
            groups = self._groups(n, leaf.num_groups)
            return functional.group_norm(args[0], groups, weight, bias, leaf.eps)
        shape = list(args[0].shape[-len(leaf.normalized_shape) :])
        if isinstance(leaf, nn.RMSNorm):
            return functional.rms_norm(args[0], shape, weight, leaf.eps)
        return functional.layer_norm(args[0], shape, weight, bias, leaf.eps)

    def _parameter(self, n: fx.Node, leaf: nn.Module, name: str) -> Tensor | None:
        tensor = getattr(leaf, name, None)
        return None if tensor is None else self._narrow(tensor, self.axes.parameters[f"{n.target}.{name}"])

    def _groups(self, n: fx.Node, groups: int) -> int:
        """Groups of which any channel stays."""
        channels = self._dims(n)[1]
        return len(set((kept(channels, self.keep) // (channels.size // groups)).tolist()))

    def _operator(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        """Called as it stands in the graph, but for the sizes that norms spell out."""
        if n.target in (aten.layer_norm.default, aten.rms_norm.default):
            args = (args[0], list(args[0].shape[-len(args[1]) :]), *args[2:])
        if n.target is aten.group_norm.default:
            args = (args[0], self._groups(n, args[1]), *args[2:])
        return n.target(*args, **kwargs)  # type: ignore[operator]
