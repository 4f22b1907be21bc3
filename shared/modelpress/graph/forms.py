"""The form of a model by the constraints on it, and from constrained to plain."""

from __future__ import annotations

import copy
from typing import Any

from modelpress.catalogue import Form
from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.constraints.finalize import burn_in
from modelpress.constraints.kinds import MASK, Kind
from modelpress.constraints.stack import (
    constrained_tensors,
    constraints_of,
    parameters_of,
    stored_of,
    tensors_of,
    tie_of,
)
from modelpress.errors import ModelFormatError
from modelpress.graph.model import Model

CONSTRAINTS = "constraints"
SPARSITY = "sparsity"


def described(model: Model) -> Model:
    """``model`` with the form and the facts that its module now has; every method that attaches constraints ends so.

    Facts: ``constraints``, what is pending (``["mask"]``), absent where nothing is; ``sparsity``, the `sparsity`
    of the model, where a mask is or was.
    """
    facts = {key: value for key, value in model.facts.items() if key != CONSTRAINTS}
    pending = sorted({kind.fact for kind in _kinds(model) if not kind.final})
    if pending:
        facts[CONSTRAINTS] = pending
    if MASK.fact in pending or SPARSITY in facts:
        facts[SPARSITY] = sparsity(model)
    return model.with_(form=form_of(model), facts=facts)


def form_of(model: Model) -> Form:
    """Constrained while anything is pending, else quantized if it holds integers or grids, else dense."""
    kinds = _kinds(model)
    if any(not kind.final for kind in kinds):
        return Form.CONSTRAINED
    quantized = kinds or any(isinstance(leaf, FakeQuantize) for _, leaf in model.leaves())
    return Form.QUANTIZED if quantized else Form.DENSE


def check_form(model: Model) -> None:
    """Refuse a model whose form does not tell whether anything is pending: methods trust it without looking.

    Raises:
        ModelFormatError: constrained with nothing pending, or another form with something.
    """
    actual = form_of(model)
    if (actual is Form.CONSTRAINED) != (model.form is Form.CONSTRAINED):
        raise ModelFormatError(f"the form is '{model.form}', but by its constraints the model is {actual}")


def finalize(model: Model) -> Model:
    """A copy of ``model`` with its pending constraints burnt in: plain tensors of the same values.

    Integers stay integers (`Dequantize` is no pending constraint). Form and facts follow; ``model`` is not touched.
    """
    module = copy.deepcopy(model.module)
    burn_in(module)
    return described(model.with_(module=module))


def violations(model: Model) -> list[str]:
    """Every constraint that does not hold exactly, as ``"fc.weight: Mask: 3 of 10 pruned entries are not zero"``."""
    found = []
    for path, module, name in constrained_tensors(model.module):
        value: Any = stored_of(module, name)
        for constraint in constraints_of(module, name):
            value = (constraint(*value).detach(),)
            reason = constraint.violation(value[0])
            found += [f"{path}: {constraint.kind.name}: {reason}"] if reason else []
    return found


def sparsity(model: Model) -> float:
    """Share of zeros among the parameters of two dimensions and more, as the graph sees them; tied ones count once."""
    owners = tensors_of(model.module)
    once = {tie_of(*owners[path]): value for path, value in parameters_of(model.module).items() if value.ndim > 1}
    total = sum(value.numel() for value in once.values())
    return sum(int((value == 0).sum()) for value in once.values()) / total if total else 0.0


def _kinds(model: Model) -> list[Kind]:
    return [c.kind for _, module, name in constrained_tensors(model.module) for c in constraints_of(module, name)]
