"""What a model's constraints make of its form and facts."""

import torch
from torch import nn

from modelpress.catalogue import Form
from modelpress.constraints.attach import attach
from modelpress.constraints.dequantize import attach_dequantize
from modelpress.constraints.mask import Mask
from modelpress.graph.forms import described, finalize, form_of, sparsity, violations
from modelpress.graph.model import Model
from modelpress.testing.constraints import plain_model


def masked(model: Model) -> Model:
    attach(model.module, "hidden.weight", Mask(torch.arange(8 * 96).view(8, 96) % 4 == 0))
    return described(model)


def quantize_head(model: Model) -> None:
    attach_dequantize(model.module.get_submodule("head"), "weight", torch.ones(3, 8, dtype=torch.int8), torch.ones(3))


def test_a_mask_makes_it_constrained_and_tells_the_sparsity() -> None:
    model = plain_model()
    total = 6 * 2 * 9 + 8 * 96 + 3 * 8
    assert described(model).facts == {}
    constrained = masked(model)
    assert constrained.form is Form.CONSTRAINED
    assert constrained.facts == {"constraints": ["mask"], "sparsity": 8 * 72 / total}


def test_finalized_it_is_dense_and_as_sparse() -> None:
    constrained = masked(plain_model().with_(facts={"made": "here"}))
    final = finalize(constrained)
    assert final.form is Form.DENSE
    assert final.facts == {"made": "here", "sparsity": constrained.facts["sparsity"]}
    assert isinstance(final.module.get_submodule("hidden").weight, nn.Parameter)
    assert sparsity(final) == sparsity(constrained)


def test_integers_stay_where_a_mask_is_burnt_in() -> None:
    model = plain_model()
    quantize_head(model)
    assert form_of(model) is Form.QUANTIZED
    mixed = masked(model)
    assert (mixed.form, mixed.facts["constraints"]) == (Form.CONSTRAINED, ["mask"])
    final = finalize(mixed)
    assert final.form is Form.QUANTIZED
    assert "constraints" not in final.facts
    assert torch.equal(final.module(*final.examples()), mixed.module(*mixed.examples()))


def test_a_constraint_that_was_tampered_with_is_named() -> None:
    model = plain_model()
    quantize_head(model)
    assert violations(model) == []
    stored = model.module.get_submodule("head.parametrizations.weight")
    stored.get_buffer("0.scale")[1] = float("nan")
    assert violations(model) == ["head.weight: Dequantize: 8 of 24 entries are off the grid"]
