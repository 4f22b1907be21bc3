"""Constraints in the format: what is not a stack of ours, or does not fit, is a clear ModelFormatError."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from modelpress.constraints.attach import attach
from modelpress.constraints.mask import Mask
from modelpress.constraints.stack import constraints_of, tensors_of
from modelpress.errors import ModelFormatError
from modelpress.graph.export import export
from modelpress.graph.forms import described, finalize, violations
from modelpress.graph.model import Model
from modelpress.graph.serialise import Serialised, load, save
from modelpress.testing.constraints import plain_model, value_of

ORIGINAL = "hidden.parametrizations.weight.original"
KEEP = "hidden.parametrizations.weight.0.keep"


def masked() -> Model:
    model = plain_model()
    attach(model.module, "hidden.weight", Mask(torch.rand(8, 96, generator=torch.Generator().manual_seed(0)) < 0.5))
    return described(model)


FILES = save(masked())
Change = Callable[[dict[str, Any], dict[str, Tensor]], object]


def changed(change: Change) -> Serialised:
    graph, tensors = json.loads(FILES.graph_json), dict(safetensors.torch.load(FILES.tensors))
    change(graph, tensors)
    return Serialised(json.dumps(graph).encode(), safetensors.torch.save(tensors))


def stack(*entries: tuple[str, dict[str, Any]]) -> Change:
    """These constraints instead of the mask, the file's tensors as they are."""
    records = [{"type": kind, "config": config} for kind, config in entries]
    return lambda g, t: g["leaves"]["hidden"].update(constraints={"weight": records})


def tensor(name: str, value: Tensor, kind: str = "buffer") -> Change:
    def change(g: dict[str, Any], t: dict[str, Tensor]) -> None:
        t[name] = value
        g["tensors"][name] = {"kind": kind, "trainable": False}

    return change


def both(*changes: Change) -> Change:
    return lambda g, t: [change(g, t) for change in changes]


def without(name: str) -> Change:
    return lambda g, t: (g["tensors"].pop(name), t.pop(name))


def scale(place: int) -> Change:
    return tensor(f"hidden.parametrizations.weight.{place}.scale", torch.ones(8))


def keep(place: int) -> Change:
    return tensor(f"hidden.parametrizations.weight.{place}.keep", torch.ones(8, 96, dtype=torch.bool))


MASK: tuple[str, dict[str, Any]] = ("Mask", {})
DEQUANTIZE: tuple[str, dict[str, Any]] = ("Dequantize", {"channels": 8})
HOSTILE: dict[str, tuple[Change, str]] = {
    "an unknown type": (stack(("Exec", {})), r"constraint.*weight\[0\]: 'Exec' is no constraint of the format"),
    "a leaf's type": (stack(("FakeQuantize", {"bits": 8, "signed": False})), "is no constraint of the format"),
    "no stack at all": (stack(), "an empty stack|is missing"),
    "more than there are places": (stack(*[MASK] * 1000), "1000 constraints on one tensor"),
    "the mask twice": (both(stack(MASK, MASK), keep(1)), "Mask and Mask exclude each other"),
    "the mask below the values": (both(stack(MASK, DEQUANTIZE), scale(1)), "Dequantize lies outside Mask"),
    "a mask over integers": (
        both(stack(DEQUANTIZE, MASK), without(KEEP), scale(0), keep(1)),
        "Dequantize is final and stands alone",
    ),
    "integers where floats were": (
        both(stack(DEQUANTIZE), without(KEEP), scale(0)),
        r"Dequantize: what is stored is \[torch.float32\]",
    ),
    "a config that a mask has not": (stack(("Mask", {"shape": [8, 96]})), "a Mask has no config"),
    "no mask": (without(KEEP), "keep' is missing"),
    "nothing stored": (without(ORIGINAL), "original' is missing"),
    "a mask that broadcasts": (tensor(KEEP, torch.ones(1, 96, dtype=torch.bool)), "the mask has shape"),
    "a mask of floats": (tensor(KEEP, torch.ones(8, 96)), "a mask is bool"),
    "a mask of bytes": (tensor(KEEP, torch.ones(8, 96, dtype=torch.uint8)), "a mask is bool"),
    "a mask that is a parameter": (
        tensor(KEEP, torch.ones(8, 96, dtype=torch.bool), "parameter"),
        "buffer, not a parameter",
    ),
    "stored integers under a mask": (
        tensor(ORIGINAL, torch.ones(8, 96, dtype=torch.int8)),
        "a mask lies on floats",
    ),
    "stored and mask of another shape than the leaf": (
        both(tensor(ORIGINAL, torch.ones(8, 95), "parameter"), tensor(KEEP, torch.ones(8, 95, dtype=torch.bool))),
        r"the constraints give .* \[8, 95\]; the leaf needs floats \[8, 96\]",
    ),
    "stored in two": (
        both(
            without(ORIGINAL),
            tensor(f"{ORIGINAL}0", torch.ones(8, 96), "parameter"),
            tensor(f"{ORIGINAL}1", torch.ones(8, 96), "parameter"),
        ),
        "the mask has shape",
    ),
    "a tensor that the leaf has not": (
        lambda g, t: g["leaves"]["hidden"].update(constraints={"weights": [{"type": "Mask", "config": {}}]}),
        "is missing",
    ),
    "a leaf that has no tensors": (
        both(
            lambda g, t: g["leaves"]["hidden"]["constraints"].update(scale=[{"type": "Mask", "config": {}}]),
            tensor("hidden.parametrizations.scale.original", torch.ones(2), "parameter"),
            tensor("hidden.parametrizations.scale.0.keep", torch.ones(2, dtype=torch.bool)),
        ),
        "a ParametrizedLinear has no parameter 'scale'|a Linear has no parameter 'scale'",
    ),
    "the plain weight beside it": (tensor("hidden.weight", torch.ones(8, 96), "parameter"), "stands where"),
    "a constraint slipped in as a loose tensor": (keep(1), "belongs to no constraint"),
    "form dense": (
        lambda g, t: g.update(form="dense"),
        "the form is 'dense', but by its constraints the model is constrained",
    ),
    "form constrained and nothing pending": (
        both(
            lambda g, t: g["leaves"]["hidden"].update(constraints={}),
            without(KEEP),
            without(ORIGINAL),
            tensor("hidden.weight", torch.ones(8, 96), "parameter"),
        ),
        "the form is 'constrained', but by its constraints the model is dense",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_tampered_stack_is_refused(name: str) -> None:
    change, message = HOSTILE[name]
    files = changed(change)
    with pytest.raises(ModelFormatError, match=message):
        load(files.graph_json, files.tensors)


def test_the_untampered_file_loads() -> None:
    model = load(*(lambda f: (f.graph_json, f.tensors))(changed(lambda g, t: None)))
    assert violations(model) == []


class Tied(nn.Module):
    """One weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 6)
        self.decode = nn.Linear(6, 6)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.decode(torch.relu(self.encode(x)))
        return y


def test_tied_weights_under_one_mask_are_still_one_after_a_round_trip() -> None:
    model = export(Tied().eval(), torch.randn(2, 6), check=False)
    first, second = (name for name in tensors_of(model.module) if name.endswith(".weight"))
    attach(model.module, second, Mask(torch.eye(6, dtype=torch.bool)))
    files = save(described(model))
    again = load(files.graph_json, files.tensors)
    assert save(again) == files
    assert torch.equal(value_of(again, first), value_of(again, second))
    assert sum(p.numel() for p in again.module.parameters()) == 36 + 12
    masks = [constraint for n in (first, second) for constraint in constraints_of(*tensors_of(again.module)[n])]
    assert [type(mask) for mask in masks] == [Mask, Mask]
    assert len({id(tensor) for tensor in again.module.buffers()}) == 1


def test_what_no_reader_would_know_is_not_written() -> None:
    class Other(Mask):
        pass

    model = plain_model()
    attach(model.module, "head.weight", Other(torch.ones(3, 8, dtype=torch.bool)))
    with pytest.raises(
        ModelFormatError, match="Other is no constraint of the format; constraints are Dequantize, Mask"
    ):
        save(described(model))


def test_a_form_that_does_not_tell_of_the_constraints_is_not_written() -> None:
    model = plain_model()
    attach(model.module, "head.weight", Mask(torch.ones(3, 8, dtype=torch.bool)))
    with pytest.raises(ModelFormatError, match="by its constraints the model is constrained"):
        save(model)


class TiedThroughTranspose(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x) @ self.layer.weight
        return y


def test_a_constrained_weight_that_the_graph_reads_too_survives_and_stays_tied() -> None:
    model = export(TiedThroughTranspose(), torch.randn(3, 6))
    keep = torch.rand(4, 6, generator=torch.Generator().manual_seed(0)) > 0.5
    attach(model.module, "layer.weight", Mask(keep))
    files = save(described(model))
    loaded = load(files.graph_json, files.tensors)
    x = torch.randn(5, 6)
    assert torch.equal(loaded.module(x), model.module(x))
    dense = finalize(loaded)
    weight = dense.module.get_parameter("layer.weight")
    assert not weight[~keep].any()
    assert torch.allclose(dense.module(x), x @ weight.T @ weight)
