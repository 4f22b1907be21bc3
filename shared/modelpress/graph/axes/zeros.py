"""How zeros flow through each operator: the counterpart of the rules.

An entry gives the atoms at whose indices a node's value is zero, from those of its inputs.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import fx

from modelpress.graph import operators
from modelpress.graph.axes.call import argument
from modelpress.graph.axes.einsum import EINSUM, terms_of
from modelpress.graph.axes.expr import atoms
from modelpress.graph.axes.functional import CONVOLUTIONS, TRANSPOSED
from modelpress.graph.axes.zero_flow import NOWHERE, Follow, Part, ZeroFlow, Zeros, broadcast, of_factors, of_terms

aten = torch.ops.aten


def passes(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """Zeros of the first argument stay zeros, unless something is spread along another dimension of their atom."""
    source = node.all_input_nodes[0]
    before, after = flow.count(source), flow.counts(node)
    return frozenset(atom for atom in flow.zeros[source] if all(part[atom] <= before[atom] for part in after))


def item(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """Of values and their positions, positions are not zero."""
    source = node.all_input_nodes[0]
    return NOWHERE if source.target in WITH_POSITIONS and node.args[1] != 0 else flow.zeros[source]


def at_zero(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """Elementwise of one tensor: whether it keeps zero is seen by trying."""
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda _: torch.zeros(()))
    made: torch.Tensor = node.target(*args, **kwargs)  # type: ignore[operator]
    return NOWHERE if made.any() else passes(node, flow)


def everywhere(node: fx.Node, flow: ZeroFlow) -> Zeros:
    return frozenset(flow.count(node))


def terms(*names: str) -> Follow:
    """A sum of arguments; a number is a term too."""

    def follow(node: fx.Node, flow: ZeroFlow) -> Zeros:
        given = [argument(node, name) for name in names]
        if any(not isinstance(value, fx.Node) and value != 0 for value in given):
            return NOWHERE
        return of_terms(flow.dims(node), [part(node, v, flow) for v in given if isinstance(v, fx.Node)])

    return follow


def factors(*names: str) -> Follow:
    """A product of arguments; a number is a factor that is not zero."""

    def follow(node: fx.Node, flow: ZeroFlow) -> Zeros:
        given = [argument(node, name) for name in names]
        return of_factors(flow.dims(node), [part(node, v, flow) for v in given if isinstance(v, fx.Node)])

    return follow


def part(node: fx.Node, source: fx.Node, flow: ZeroFlow) -> Part:
    """An operand that is broadcast to the output."""
    return Part(flow.zeros[source], broadcast(flow.dims(source), flow.dims(node)))


def added_product(node: fx.Node, flow: ZeroFlow) -> Zeros:
    return terms("self")(node, flow) & factors("tensor1", "tensor2")(node, flow)


def numerator(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """Zero over something that is not."""
    divisor = argument(node, "other")
    return terms("self")(node, flow) - (flow.zeros[divisor] if isinstance(divisor, fx.Node) else NOWHERE)


def einsum(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """A sum of products, and what is added to it."""
    found = terms_of(node, flow.values)
    output, out = found.equation.output, flow.dims(node)
    zeros = of_factors(
        out,
        (
            Part(flow.zeros[operand], frozenset(output.index(own) for own in labels if own in output))
            for labels, operand in zip(found.equation.operands, found.operands, strict=True)
        ),
    )
    return zeros if found.addend is None else zeros & of_terms(out, [part(node, found.addend, flow)])


def concatenation(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """Zero at an index where each part that has it is."""
    parts = [(flow.zeros[source], flow.count(source)) for source in node.all_input_nodes]
    return frozenset(atom for atom in flow.count(node) if all(atom in zeros or not has[atom] for zeros, has in parts))


def scaled(at: int, *biases: str) -> Follow:
    """A layer whose computed ``weight`` scales what it writes, along dimension ``at`` of its output."""

    def follow(node: fx.Node, flow: ZeroFlow) -> Zeros:
        out = flow.dims(node)
        weights = [argument(node, name) for name in ("weight", *biases)]
        if weights[0] is None:
            return NOWHERE
        along = frozenset({at % len(out)}) if out else frozenset()
        return of_terms(out, [Part(flow.zeros[weight], along) for weight in weights if weight is not None])

    return follow


def convolution(spatial: int) -> Follow:
    return scaled(-spatial - 1, "bias")


def running(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """cumsum: what was before shows where something is zero."""
    out = flow.dims(node)
    return passes(node, flow) - frozenset(atoms(out[argument(node, "dim")]))


def written(name: str) -> Follow:
    """A tensor into which another, or a number, is written: zero where both are."""

    def follow(node: fx.Node, flow: ZeroFlow) -> Zeros:
        into, value = flow.zeros[node.all_input_nodes[0]], argument(node, name)
        if isinstance(value, fx.Node):
            return into & flow.zeros[value]
        return into if value == 0 else NOWHERE

    return follow


def padded(node: fx.Node, flow: ZeroFlow) -> Zeros:
    return passes(node, flow) if not argument(node, "value") else NOWHERE


def norm(order: str) -> Follow:
    """A norm of order below 0 divides by what is zero."""

    def follow(node: fx.Node, flow: ZeroFlow) -> Zeros:
        p = argument(node, order)
        return passes(node, flow) if p is None or p > 0 else NOWHERE

    return follow


def _of_one_tensor() -> Iterator[Any]:
    """The elementwise operators of one tensor and numbers (but for those of integers only)."""
    for name in (*operators.UNARY, *operators.BINARY):
        target = operators.targets()[f"aten.{name}"]
        tensors = [slot for slot in target._schema.arguments if "Tensor" in str(slot.type)]  # type: ignore[attr-defined]
        if len(tensors) == 1 and not name.startswith("bitwise"):
            yield target


WITH_POSITIONS = (
    aten.max.dim, aten.min.dim, aten.sort.default, aten.topk.default, aten.adaptive_max_pool1d.default,
    aten.adaptive_max_pool2d.default, aten.adaptive_max_pool3d.default, aten.max_pool2d_with_indices.default,
)  # fmt: skip
_REDUCE = (
    aten.mean.default, aten.mean.dim, aten.sum.default, aten.sum.dim_IntList, aten.amax.default, aten.amin.default,
    aten.max.default, aten.min.default, aten.prod.default, aten.prod.dim_int, aten.std.correction, aten.std.dim,
    aten.var.correction, aten.var.dim, aten.var_mean.correction, aten.std_mean.correction, aten.any.default,
    aten.any.dim, aten.count_nonzero.dim_IntList, aten.glu.default, aten.prelu.default,
    aten.adaptive_avg_pool1d.default, aten.adaptive_avg_pool2d.default, aten.adaptive_avg_pool3d.default,
    aten.avg_pool1d.default, aten.avg_pool2d.default, aten.avg_pool3d.default, aten.max_pool1d.default,
    aten.max_pool2d.default, aten.max_pool3d.default, aten.max_unpool2d.default, *WITH_POSITIONS,
)  # fmt: skip
_MOVE = (
    aten.alias.default, aten.broadcast_to.default, aten.channel_shuffle.default, aten.chunk.default,
    aten.clone.default, aten.contiguous.default, aten.detach.default, aten.expand.default, aten.expand_as.default,
    aten.flatten.using_ints, aten.flip.default, aten.im2col.default, aten.index_select.default, aten.movedim.int,
    aten.movedim.intlist, aten.narrow.default, aten.permute.default, aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default, aten.ravel.default, aten.repeat.default, aten.repeat_interleave.self_int,
    aten.reshape.default, aten.reshape_as.default, aten.roll.default, aten.select.int, aten.slice.Tensor,
    aten.split.Tensor, aten.split.sizes, aten.split_with_sizes.default, aten.squeeze.default, aten.squeeze.dim,
    aten.squeeze.dims, aten.swapaxes.default, aten.t.default, aten.tile.default, aten.to.dtype, aten.transpose.int,
    aten.tril.default, aten.triu.default, aten.type_as.default, aten.unbind.int, aten.unflatten.int,
    aten.unfold.default, aten.unsqueeze.default, aten.upsample_bilinear2d.default, aten.upsample_bilinear2d.vec,
    aten.upsample_nearest2d.default, aten.upsample_nearest2d.vec, aten.upsample_bicubic2d.vec,
    aten.upsample_linear1d.vec, aten.upsample_nearest1d.vec, aten.upsample_nearest3d.vec, aten.upsample_trilinear3d.vec,
    aten.grid_sampler.default, aten.col2im.default, aten.diagonal.default, aten.gather.default, aten.index.Tensor,
    aten.view.default, aten.view_as.default,
)  # fmt: skip

FOLLOW: Mapping[Any, Follow] = {
    **dict.fromkeys(_of_one_tensor(), at_zero),
    **dict.fromkeys((*_REDUCE, *_MOVE), passes),
    **dict.fromkeys((aten.new_zeros.default, aten.zeros_like.default), everywhere),
    **dict.fromkeys((aten.add.Tensor, aten.sub.Tensor, aten.maximum.default), terms("self", "other")),
    **dict.fromkeys((aten.minimum.default, aten.logical_or.default, aten.bitwise_or.Tensor), terms("self", "other")),
    **dict.fromkeys((aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf), terms("self", "other")),
    **dict.fromkeys((aten.lerp.Scalar, aten.lerp.Tensor), terms("self", "end")),
    **dict.fromkeys((aten.masked_fill.Scalar, aten.masked_fill.Tensor), terms("self", "value")),
    **dict.fromkeys((aten.mul.Tensor, aten.logical_and.default, aten.bitwise_and.Tensor), factors("self", "other")),
    **dict.fromkeys((aten.div.Tensor, aten.div.Tensor_mode, aten.floor_divide.default), numerator),
    **dict.fromkeys((aten.cat.default, aten.concat.default, aten.stack.default), concatenation),
    **dict.fromkeys((aten.hstack.default, aten.vstack.default), concatenation),
    **dict.fromkeys((aten.constant_pad_nd.default, aten.pad.default), padded),
    **dict.fromkeys((aten.scatter.src, aten.scatter_add.default, aten.scatter_reduce.two), written("src")),
    **dict.fromkeys((aten.slice_scatter.default, aten.select_scatter.default), written("src")),
    **dict.fromkeys((aten.index_add.default, aten.index_copy.default), written("source")),
    **dict.fromkeys(EINSUM, einsum),
    operator.getitem: item,
    aten.scatter.value: written("value"),
    aten.addcmul.default: added_product,
    aten.cumsum.default: running,
    aten.linalg_vector_norm.default: norm("ord"),
    aten.norm.ScalarOpt_dim: norm("p"),
    aten._weight_norm.default: factors("v", "g"),
    aten.embedding.default: scaled(-1),
    aten.batch_norm.default: scaled(1, "bias"),
    aten.group_norm.default: scaled(1, "bias"),
    aten.instance_norm.default: scaled(1, "bias"),
    aten.layer_norm.default: scaled(-1, "bias"),
    aten.rms_norm.default: scaled(-1),
    **{target: convolution(1 + k // 2) for k, target in enumerate(CONVOLUTIONS)},
    **{target: convolution(1 + k) for k, target in enumerate(TRANSPOSED)},
}
