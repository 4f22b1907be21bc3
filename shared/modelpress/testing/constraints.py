"""What every constraint must do. A constraint's test says how to put it on a parameter, and inherits the rest."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any, ClassVar, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modelpress.catalogue import Form
from modelpress.constraints.attach import attach
from modelpress.constraints.kinds import Kind
from modelpress.constraints.protocol import Constraint
from modelpress.constraints.stack import constraints_of, stored_of, tensors_of
from modelpress.errors import InputError
from modelpress.graph.axes import analyse, group_scores, keep_best, remove
from modelpress.graph.export import export
from modelpress.graph.forms import described, finalize, violations
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save

PATHS = ("conv.weight", "hidden.weight")
STEPS = 4


class Net(nn.Module):
    """A convolution whose maps are flattened into a linear layer, and a head: weights of four and two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, padding=1)
        self.hidden = nn.Linear(6 * 16, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.relu(self.hidden(torch.relu(self.conv(x)).flatten(1))))
        return y


@cache
def _exported() -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return export(Net().eval(), torch.randn(2, 2, 4, 4), check=False)


def plain_model() -> Model:
    """`Net` as a model; a copy of its own each time."""
    return _exported().with_(module=copy.deepcopy(_exported().module))


def value_of(model: Model, path: str) -> Tensor:
    """The tensor as the graph sees it, under its constraints."""
    module, name = tensors_of(model.module)[path]
    value: Tensor = getattr(module, name).detach().clone()
    return value


def train_step(model: Model, optimizer: torch.optim.Optimizer, seed: int) -> None:
    """One step towards random targets."""
    optimizer.zero_grad()
    outputs = model.module(*model.examples(8, seed=seed))
    (outputs - torch.randn(outputs.shape, generator=torch.Generator().manual_seed(seed))).square().mean().backward()
    optimizer.step()


OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


class ConstraintContract:
    """Invariants of `modelpress.constraints.protocol`, on a convolution's and a linear layer's weight."""

    kind: ClassVar[Kind]

    def constrain(self, root: nn.Module, path: str) -> None:
        """Put the constraint under test on the parameter ``path`` below ``root``, the same each time."""
        raise NotImplementedError

    @pytest.fixture
    def model(self) -> Model:
        model = plain_model()
        for path in PATHS:
            self.constrain(model.module, path)
        return described(model)

    def only(self, model: Model, path: str) -> Constraint:
        """The constraint under test."""
        (constraint,) = constraints_of(*tensors_of(model.module)[path])
        return constraint

    def own_tensors(self, constraint: Constraint) -> dict[str, Tensor]:
        module = cast(nn.Module, constraint)
        return {**dict(module.named_parameters()), **dict(module.named_buffers())}

    def test_the_model_says_what_is_pending(self, model: Model) -> None:
        if self.kind.final:
            assert model.form is Form.QUANTIZED
            assert "constraints" not in model.facts
        else:
            assert model.form is Form.CONSTRAINED
            assert model.facts["constraints"] == [self.kind.fact]

    def test_it_names_itself_and_its_tensors(self, model: Model) -> None:
        constraint = self.only(model, PATHS[0])
        assert type(constraint).__name__ == self.kind.name == constraint.kind.name
        assert set(self.own_tensors(constraint)) == set(constraint.tensor_names)

    @pytest.mark.parametrize("path", PATHS)
    def test_it_tells_tensors_that_obey_from_those_that_do_not(self, model: Model, path: str) -> None:
        value = value_of(model, path)
        assert violations(model) == []
        assert self.only(model, path).violation(value) == ""
        assert self.only(model, path).violation(torch.randn_like(value)) != ""
        assert self.only(model, path).violation(value[:1].expand(99, *value.shape[1:])) != ""

    @pytest.mark.parametrize("path", PATHS)
    def test_what_is_stored_fits_and_nothing_else(self, model: Model, path: str) -> None:
        stored, constraint = stored_of(*tensors_of(model.module)[path]), self.only(model, path)
        assert constraint.misfit(stored) == ""
        assert constraint.misfit([t.detach().to("meta") for t in stored]) == ""
        assert constraint.misfit([*stored, stored[0]]) != ""
        assert constraint.misfit([torch.cat([t, t]) for t in stored]) != ""
        assert constraint.misfit([t.to(torch.complex64) for t in stored]) != ""

    def test_saved_and_loaded_it_is_the_same_to_the_byte(self, model: Model) -> None:
        files = save(model)
        again = load(files.graph_json, files.tensors)
        inputs = model.examples(3)
        assert torch.equal(again.module(*inputs), model.module(*inputs))
        assert (again.form, again.facts) == (model.form, model.facts)
        assert save(again) == files

    def test_config_and_tensors_build_it_again(self, model: Model) -> None:
        module, name = tensors_of(model.module)[PATHS[0]]
        constraint = self.only(model, PATHS[0])
        config = json.loads(json.dumps(constraint.config(), allow_nan=False))
        again = type(constraint).restore(config, self.own_tensors(constraint))
        assert torch.equal(again(*stored_of(module, name)), value_of(model, PATHS[0]))
        assert self.own_tensors(again).keys() == self.own_tensors(constraint).keys()
        for key, tensor in self.own_tensors(again).items():
            assert tensor is self.own_tensors(constraint)[key], "tied tensors would come apart"

    def test_what_it_did_not_write_it_refuses(self, model: Model) -> None:
        constraint = self.only(model, PATHS[0])
        config, tensors = constraint.config(), self.own_tensors(constraint)
        with pytest.raises(InputError):
            type(constraint).restore({**config, "unknown": 1}, tensors)
        for key in config:
            with pytest.raises(InputError):
                type(constraint).restore({**config, key: "text"}, tensors)
        for name, tensor in tensors.items():
            swapped = tensor.detach() if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, requires_grad=False)
            for wrong in (swapped, tensor.detach().to(torch.complex64)):
                with pytest.raises(InputError):
                    type(constraint).restore(config, {**tensors, name: wrong})

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_it_holds_after_every_step_of_training(self, model: Model, optimizer: str) -> None:
        files = save(model)
        model = load(files.graph_json, files.tensors)
        before = {path: value_of(model, path) for path in PATHS}
        parameters = [p for p in model.module.parameters() if p.requires_grad]
        steps = OPTIMIZERS[optimizer](parameters)
        for seed in range(STEPS):
            train_step(model, steps, seed)
            assert violations(model) == []
        moved = [path for path in PATHS if not torch.equal(value_of(model, path), before[path])]
        assert moved == ([] if self.kind.final else list(PATHS))

    @pytest.mark.parametrize("path", PATHS)
    def test_sliced_it_gives_the_slice(self, model: Model, path: str) -> None:
        stored: Any = stored_of(*tensors_of(model.module)[path])
        value, constraint = value_of(model, path), self.only(model, path)
        expected = value
        for dim in (1, 0):
            keep = torch.arange(0, expected.shape[dim], 2)
            stored = constraint.sliced_stored(stored, dim, keep)
            constraint = constraint.sliced(dim, keep)
            expected = expected.index_select(dim, keep)
            assert constraint.misfit(stored) == ""
            assert torch.allclose(constraint(*stored), expected, rtol=1e-6, atol=1e-7)
        for tensor in (*stored, *self.own_tensors(constraint).values()):
            tensor.detach().zero_()
        assert torch.equal(value_of(model, path), value), "a slice shares memory with what it was taken from"

    def test_removing_an_axis_takes_the_constraint_along(self, model: Model) -> None:
        axes = analyse(model)
        scores = {path: value_of(model, path).abs() for path in PATHS}
        (axis,) = (a for a in axes.prunable() if a.name == "conv.out")
        assert {where.parameter for where in axis.slices} == {"conv.weight", "conv.bias", "hidden.weight"}
        keep = keep_best(group_scores(axes, axis, scores), 3)
        smaller = remove(model, axes, {axis.name: keep})
        columns = (keep[:, None] * 16 + torch.arange(16)).flatten()
        before = {path: value_of(model, path) for path in PATHS}
        assert torch.allclose(value_of(smaller, "conv.weight"), before["conv.weight"][keep], rtol=1e-6)
        assert torch.allclose(value_of(smaller, "hidden.weight"), before["hidden.weight"][:, columns], rtol=1e-6)
        assert violations(smaller) == []
        assert smaller.form is model.form
        files = save(smaller)
        assert save(load(files.graph_json, files.tensors)) == files

    def test_finalized_it_is_gone_and_the_values_stay(self, model: Model) -> None:
        final = finalize(model)
        inputs = model.examples(3)
        assert torch.equal(final.module(*inputs), model.module(*inputs))
        for path in PATHS:
            module, name = tensors_of(final.module)[path]
            assert parametrize.is_parametrized(module, name) == self.kind.final
            assert torch.equal(value_of(final, path), value_of(model, path))
        assert final.form is (Form.QUANTIZED if self.kind.final else Form.DENSE)
        assert violations(model) == [], "the model itself was touched"

    def test_a_second_of_its_kind_is_refused(self, model: Model) -> None:
        before = [type(self.only(model, path)) for path in PATHS]
        with pytest.raises(InputError):
            attach(model.module, PATHS[0], copy.deepcopy(self.only(model, PATHS[0])))
        assert [type(self.only(model, path)) for path in PATHS] == before
