"""The rules of all operators that compute; here those that compute each element by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from modelpress.graph.axes.broadcast import align
from modelpress.graph.axes.call import Call, Value
from modelpress.graph.axes.einsum import EINSUM
from modelpress.graph.axes.functional import FUNCTIONAL
from modelpress.graph.axes.movement import Rule
from modelpress.graph.axes.reductions import REDUCTIONS

aten = torch.ops.aten


def elementwise(call: Call) -> Value:
    return align(call.tensors(), call.shape, call.why)


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
}
