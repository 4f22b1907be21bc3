"""Taking positions out of a tensor and of every constraint that rides on it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from modelpress.constraints.attach import replace_stack
from modelpress.constraints.protocol import select
from modelpress.constraints.stack import Owner, constraints_of, stored_of


def slice_tensor(owners: Sequence[Owner], keep: Mapping[int, Tensor]) -> None:
    """Slice one tensor, which all ``owners`` share, and the constraints on it, in place.

    Args:
        owners: every module and name under which the tensor stands.
        keep: dimension -> positions that stay, int64 [n], ascending. The other dimensions stay whole.

    What the owners had is replaced by tensors of their own memory, even where nothing is taken out.
    """
    stored = tuple(t.detach() for t in stored_of(*owners[0]))
    trainable = [(isinstance(t, nn.Parameter), t.requires_grad) for t in stored_of(*owners[0])]
    stacks = [constraints_of(*owner) for owner in owners]
    innermost = next((stack[0] for stack in stacks if stack), None)
    sliced = {id(c): copy.deepcopy(c) for stack in stacks for c in stack}
    for dim, positions in keep.items():
        if innermost is None:
            stored = (select(stored[0], dim, positions),)
        else:
            stored = sliced[id(innermost)].sliced_stored(stored, dim, positions)
        sliced = {key: constraint.sliced(dim, positions) for key, constraint in sliced.items()}
    stored = stored if keep else tuple(t.clone() for t in stored)
    made = [
        nn.Parameter(t, needs) if is_parameter else t
        for t, (is_parameter, needs) in zip(stored, trainable, strict=True)
    ]
    for (module, name), stack in zip(owners, stacks, strict=True):
        replace_stack(module, name, made, [sliced[id(c)] for c in stack])
