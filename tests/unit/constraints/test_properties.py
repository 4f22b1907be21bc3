"""What holds of any small network under any masks, whatever is done to it."""

from __future__ import annotations

from functools import cache

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modelpress.catalogue import Form
from modelpress.constraints.attach import attach
from modelpress.constraints.mask import Mask
from modelpress.constraints.stack import constraints_of, shape_of, tensors_of
from modelpress.graph.axes import analyse, remove
from modelpress.graph.export import export
from modelpress.graph.forms import described, finalize, violations
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from modelpress.testing.constraints import OPTIMIZERS, train_step, value_of

SIDE = 4


class Small(nn.Module):
    """Convolutions under norms with or without a sum that ties them, then linear layers over the flattened map."""

    def __init__(self, widths: tuple[int, ...], hidden: int, residual: bool) -> None:
        super().__init__()
        ins = (1, *widths[:-1])
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in zip(ins, widths, strict=True))
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in widths)
        self.residual = residual
        self.hidden = nn.Linear(widths[-1] * SIDE * SIDE, hidden)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = norm(conv(x)).relu()
            x = x + y if self.residual and x.shape == y.shape else y
        logits: Tensor = self.head(self.hidden(x.flatten(1)).tanh())
        return logits


@cache
def exported(widths: tuple[int, ...], hidden: int, residual: bool) -> Model:
    torch.manual_seed(0)
    return export(Small(widths, hidden, residual).eval(), torch.randn(2, 1, SIDE, SIDE), check=False)


@st.composite
def masked(draw: st.DrawFn) -> tuple[Model, dict[str, Tensor]]:
    """A network with masks on some of its weights; and the masks."""
    widths = draw(st.sampled_from([(2,), (3, 3), (4, 2), (2, 3, 3)]))
    template = exported(widths, draw(st.sampled_from([2, 5])), draw(st.booleans()))
    model = load(*(lambda f: (f.graph_json, f.tensors))(save(template)))
    owners = tensors_of(model.module)
    weights = [n for n, (module, name) in owners.items() if name in module._parameters]
    chosen = draw(st.lists(st.sampled_from(weights), min_size=1, unique=True))
    density, seed = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])), draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    keep = {path: torch.rand(shape_of(*owners[path]), generator=generator) < density for path in chosen}
    for path, mask in keep.items():
        attach(model.module, path, Mask(mask))
    return described(model), keep


def assert_pruned(model: Model, keep: dict[str, Tensor]) -> None:
    assert violations(model) == []
    for path, mask in keep.items():
        value = value_of(model, path)
        assert value.shape == mask.shape
        assert not bool(value[~mask].any()), path


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(masked(), st.data())
def test_masks_hold_through_training_saving_removal_and_finalizing(
    drawn: tuple[Model, dict[str, Tensor]], data: st.DataObject
) -> None:
    model, keep = drawn
    optimizer = OPTIMIZERS[data.draw(st.sampled_from(sorted(OPTIMIZERS)))](list(model.module.parameters()))
    model.module.train()
    for seed in range(data.draw(st.integers(0, 3), "steps")):
        train_step(model, optimizer, seed)
        assert_pruned(model, keep)
    model.module.eval()
    files = save(model)
    loaded = load(files.graph_json, files.tensors)
    assert save(loaded) == files
    assert_pruned(loaded, keep)
    smaller, smaller_keep = shrunk(loaded, keep, data)
    assert_pruned(smaller, smaller_keep)
    assert_finalized(smaller)
    assert_pruned(loaded, keep)


def shrunk(model: Model, keep: dict[str, Tensor], data: st.DataObject) -> tuple[Model, dict[str, Tensor]]:
    """The model without random indices of its axes, and its masks, sliced by hand from those it had."""
    axes = analyse(model)
    chosen = {}
    for axis in axes.prunable():
        stays = data.draw(st.lists(st.integers(0, axis.size - 1), min_size=1, unique=True), axis.name)
        chosen[axis.name] = torch.tensor(sorted(stays))
    smaller = remove(model, axes, chosen)
    masks = dict(keep)
    for axis in axes.prunable():
        for where in axis.slices:
            if where.parameter in masks:
                positions = axes.positions(axis, where)[chosen[axis.name]].flatten().sort().values
                masks[where.parameter] = masks[where.parameter].index_select(where.dim, positions)
    for path, mask in masks.items():
        (constraint,) = constraints_of(*tensors_of(smaller.module)[path])
        assert isinstance(constraint, Mask)
        assert torch.equal(constraint.keep, mask), path
    return smaller, masks


def assert_finalized(model: Model) -> None:
    final = finalize(model)
    assert final.form is Form.DENSE
    assert not any(parametrize.is_parametrized(module) for module in final.module.modules())
    owners = tensors_of(final.module)
    assert set(owners) == set(tensors_of(model.module))
    for path in owners:
        assert torch.equal(value_of(final, path), value_of(model, path)), path
    inputs = model.examples(2)
    assert torch.equal(final.module(*inputs), model.module(*inputs))
