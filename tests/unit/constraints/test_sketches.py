"""The protocol holds for what is to come: a constraint with parameters of its own, and one that stores two tensors."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import nn

from modelpress.constraints import registry
from modelpress.constraints.attach import attach
from modelpress.constraints.mask import Mask
from modelpress.constraints.protocol import Constraint
from modelpress.constraints.stack import constraints_of, shape_of, stored_of, tensors_of
from modelpress.errors import InputError
from modelpress.graph.axes import analyse, remove
from modelpress.graph.forms import described, finalize, violations
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from modelpress.testing.constraints import ConstraintContract, plain_model, train_step, value_of
from tests.unit.constraints.sketches import Codebook, LowRank


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Codebook, LowRank):
        monkeypatch.setitem(registry.CONSTRAINTS, kind.kind.name, kind)


class TestCodebook(ConstraintContract):
    kind = Codebook.kind

    def constrain(self, root: nn.Module, path: str) -> None:
        module, name = tensors_of(root)[path]
        attach(root, path, Codebook.of(getattr(module, name).detach(), 16))


class TestLowRank(ConstraintContract):
    kind = LowRank.kind

    def constrain(self, root: nn.Module, path: str) -> None:
        attach(root, path, LowRank(shape_of(*tensors_of(root)[path]), 2))


PATH = "hidden.weight"


def three(model: Model) -> dict[str, Constraint]:
    weight = value_of(model, PATH)
    return {
        "LowRank": LowRank(weight.shape, 3),
        "Codebook": Codebook.of(weight, 16),
        "Mask": Mask(torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.5),
    }


@pytest.mark.parametrize("order", list(permutations(["LowRank", "Codebook", "Mask"])), ids="-".join)
def test_the_order_in_the_stack_is_that_of_the_kinds_not_of_attaching(order: tuple[str, ...]) -> None:
    model = plain_model()
    constraints = three(model)
    for name in order:
        attach(model.module, PATH, constraints[name])
    assert [type(c).__name__ for c in constraints_of(*tensors_of(model.module)[PATH])] == [
        "LowRank",
        "Codebook",
        "Mask",
    ]
    assert len(stored_of(*tensors_of(model.module)[PATH])) == 2
    mask = constraints["Mask"]
    assert isinstance(mask, Mask)
    assert torch.equal(value_of(model, PATH) == 0, ~mask.keep)


def test_a_stack_of_three_trains_saves_shrinks_and_finalizes() -> None:
    model = plain_model()
    for constraint in three(model).values():
        attach(model.module, PATH, constraint)
    model = described(model)
    assert model.facts["constraints"] == ["codebook", "low-rank", "mask"]
    optimizer = torch.optim.AdamW(model.module.parameters(), lr=0.01)
    for seed in range(3):
        train_step(model, optimizer, seed)
        assert violations(model) == []
    files = save(model)
    model = load(files.graph_json, files.tensors)
    assert save(model) == files
    keep = torch.tensor([0, 3, 4])
    smaller = remove(model, analyse(model), {"hidden.out": keep})
    assert torch.equal(value_of(smaller, PATH), value_of(model, PATH)[keep])
    assert violations(smaller) == []
    final = finalize(smaller)
    assert torch.equal(final.module(*final.examples()), smaller.module(*final.examples()))
    assert constraints_of(*tensors_of(final.module)[PATH]) == ()


def test_a_stack_that_does_not_fit_is_refused_whole() -> None:
    model = plain_model()
    attach(model.module, PATH, Mask(torch.ones(8, 96, dtype=torch.bool)))
    with pytest.raises(InputError, match="LowRank: factors are"):
        attach(model.module, PATH, LowRank((8, 95), 3))
    assert [type(c) for c in constraints_of(*tensors_of(model.module)[PATH])] == [Mask]
    assert len(stored_of(*tensors_of(model.module)[PATH])) == 1
