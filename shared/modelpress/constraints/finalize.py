"""Burning constraints in: plain tensors instead of computed ones."""

from __future__ import annotations

from torch import nn

from modelpress.constraints.attach import drop_stack
from modelpress.constraints.stack import constrained_tensors, constraints_of, stored_of


def burn_in(root: nn.Module) -> None:
    """Replace every tensor below ``root`` that is under pending constraints by its value, in place.

    Tied tensors stay tied. Final constraints (`Dequantize`) stay: they are how a finished model stores its tensors.
    """
    plain: dict[tuple[int, ...], nn.Parameter] = {}
    found = [
        (module, name)
        for _, module, name in constrained_tensors(root)
        if not any(c.kind.final for c in constraints_of(module, name))
    ]
    keys = [tuple(id(x) for x in (*stored_of(*owner), *constraints_of(*owner))) for owner in found]
    for key, (module, name) in zip(keys, found, strict=True):
        if key not in plain:
            trainable = any(t.requires_grad for t in stored_of(module, name))
            plain[key] = nn.Parameter(getattr(module, name).detach().clone(), trainable)
    for key, (module, name) in zip(keys, found, strict=True):
        drop_stack(module, name, plain[key])
