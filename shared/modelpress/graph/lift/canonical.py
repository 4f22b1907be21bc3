"""One spelling for each operator: in-place forms become pure ones, synonyms the name that the format has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

aten = torch.ops.aten
SYNONYMS: Mapping[Any, Any] = {
    aten.__and__.Tensor: aten.bitwise_and.Tensor,
    aten.__and__.Scalar: aten.bitwise_and.Scalar,
    aten.__or__.Tensor: aten.bitwise_or.Tensor,
    aten.__or__.Scalar: aten.bitwise_or.Scalar,
    aten.min.other: aten.minimum.default,
    aten.max.other: aten.maximum.default,
    aten.clip.default: aten.clamp.default,
    aten.absolute.default: aten.abs.default,
    aten.negative.default: aten.neg.default,
    aten.multiply.Tensor: aten.mul.Tensor,
    aten.multiply.Scalar: aten.mul.Scalar,
    aten.divide.Tensor: aten.div.Tensor,
    aten.divide.Scalar: aten.div.Scalar,
    aten.divide.Tensor_mode: aten.div.Tensor_mode,
    aten.true_divide.Tensor: aten.div.Tensor,
    aten.true_divide.Scalar: aten.div.Scalar,
    aten.subtract.Tensor: aten.sub.Tensor,
    aten.subtract.Scalar: aten.sub.Scalar,
    aten.greater.Tensor: aten.gt.Tensor,
    aten.greater.Scalar: aten.gt.Scalar,
    aten.less.Tensor: aten.lt.Tensor,
    aten.less.Scalar: aten.lt.Scalar,
    aten.special_erf.default: aten.erf.default,
    aten.vdot.default: aten.dot.default,  # of real tensors, the only ones there are
    aten.swapdims.default: aten.transpose.int,
    aten.concatenate.default: aten.cat.default,
    aten._unsafe_view.default: aten.reshape.default,
    # A view asks for strides, and those of an activation depend on the memory format that a graph is run in.
    aten.view.default: aten.reshape.default,
    aten.view_as.default: aten.reshape_as.default,
    aten.empty_like.default: aten.zeros_like.default,
    aten.new_empty.default: aten.new_zeros.default,
}


def functional_form(target: Any) -> Any:
    """``aten.relu_.default`` -> ``aten.relu.default``; anything else is returned as it is."""
    packet = getattr(target, "overloadpacket", None)
    if packet is None or not packet.__name__.endswith("_") or packet.__name__.startswith("__"):
        return target
    pure = getattr(torch.ops.aten, packet.__name__[:-1], None)
    return getattr(pure, target._overloadname, target) if pure is not None else target


def canonical(target: Any) -> Any:
    """The format's operator for ``target``: pure, and by its usual name."""
    form = functional_form(target)
    return SYNONYMS.get(form, form)
