"""Rules of operators that compute each element by itself, and of pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from modelpress.graph.axes.broadcast import align
from modelpress.graph.axes.call import Call, Value
from modelpress.graph.axes.einsum import EINSUM
from modelpress.graph.axes.expr import constants, freeze
from modelpress.graph.axes.functional import FUNCTIONAL
from modelpress.graph.axes.movement import Rule
from modelpress.graph.axes.reductions import REDUCTIONS

aten = torch.ops.aten


def elementwise(call: Call) -> Value:
    return align(call.tensors(), call.shape, call.why)


def pool(spatial: int) -> Rule:
    """Pooling over the last dimensions, which must stay as they are."""

    def rule(call: Call) -> Value:
        dims = call.dims(0)
        for dim in dims[-spatial:]:
            freeze(dim, f"pooled by {call.why}")
        return [*dims[:-spatial], *constants(call.shape[-spatial:], f"pooled by {call.why}")]

    return rule


ELEMENTWISE = (
    aten.hardswish.default, aten.log_sigmoid.default, aten.floor_divide.default, aten.floor_divide.Scalar,
    aten.masked_fill.Tensor, aten.where.Scalar, aten.where.ScalarOther, aten.where.ScalarSelf,
)  # fmt: skip
"""Those that torch does not tag as pointwise."""

COMPUTE: Mapping[Any, Rule] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **REDUCTIONS,
    **EINSUM,
    **FUNCTIONAL,
    aten.adaptive_avg_pool1d.default: pool(1),
    aten.avg_pool1d.default: pool(1),
    aten.max_pool1d.default: pool(1),
    aten.adaptive_avg_pool2d.default: pool(2),
    aten.adaptive_max_pool2d.default: pool(2),
    aten.avg_pool2d.default: pool(2),
    aten.max_pool2d.default: pool(2),
}
