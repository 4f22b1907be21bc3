"""Axes of models under constraints: the same axes, and removing commutes with finalizing."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from modelpress.catalogue import Form
from modelpress.constraints.attach import attach
from modelpress.constraints.dequantize import attach_dequantize
from modelpress.constraints.mask import Mask
from modelpress.constraints.stack import constraints_of, shape_of, tensors_of
from modelpress.errors import InputError
from modelpress.graph.axes import Axes, Axis, analyse, group_scores, remove, slim
from modelpress.graph.forms import described, finalize, violations
from modelpress.graph.model import Model
from modelpress.graph.serialise import save
from modelpress.testing.structure import random_halves
from tests.unit.graph.axes.nets import model

NETS = ("mlp", "lenet", "inception", "grouped", "attention")


def leaf_weights(source: Model) -> list[str]:
    called = dict(source.leaves())
    return [f"{path}.weight" for path, leaf in called.items() if "weight" in leaf._parameters]


def masked(name: str) -> Model:
    """The network with half of every leaf's weight pruned, biases and norms not."""
    source = model(name).with_(module=copy.deepcopy(model(name).module))
    generator = torch.Generator().manual_seed(0)
    for path in leaf_weights(source):
        shape = shape_of(*tensors_of(source.module)[path])
        attach(source.module, path, Mask(torch.rand(shape, generator=generator) < 0.5))
    return described(source)


def quantized(name: str) -> Model:
    source = model(name).with_(module=copy.deepcopy(model(name).module))
    for path in leaf_weights(source):
        module, tensor = tensors_of(source.module)[path]
        weight = getattr(module, tensor).detach()
        scale = weight.abs().flatten(1).amax(1) / 127 if weight.ndim > 1 else weight.abs() / 127
        steps = weight / scale.view(-1, *[1] * (weight.ndim - 1))
        attach_dequantize(module, tensor, steps.round().to(torch.int8), scale)
    return described(source)


def facts(axes: Axes) -> set[tuple[Axis, frozenset[object]]]:
    return {(Axis(a.name, a.size, (), a.inexact_because), frozenset(a.slices)) for a in axes.prunable()}


@pytest.mark.parametrize("name", NETS)
def test_constraints_change_no_axis(name: str) -> None:
    plain = analyse(model(name))
    for constrained in (masked(name), quantized(name)):
        assert facts(analyse(constrained)) == facts(plain)
        assert analyse(constrained).frozen() == plain.frozen()


@pytest.mark.parametrize("name", NETS)
def test_removing_and_finalizing_commute_to_the_bit(name: str) -> None:
    source = masked(name)
    axes = analyse(source)
    smaller = remove(source, axes, random_halves(axes))
    assert violations(smaller) == []
    final = finalize(source)
    other = remove(final, analyse(final), random_halves(axes))
    assert save(finalize(smaller)) == save(other)
    x = smaller.examples(3)
    assert torch.equal(finalize(smaller).module(*x), smaller.module(*x))


@pytest.mark.parametrize("name", NETS)
def test_integers_are_sliced_with_their_scales(name: str) -> None:
    source = quantized(name)
    axes = analyse(source)
    smaller = remove(source, axes, random_halves(axes))
    assert violations(smaller) == []
    for path in leaf_weights(model(name)):
        (constraint,) = constraints_of(*tensors_of(smaller.module)[path])
        scale = dict(constraint.named_buffers())["scale"] if isinstance(constraint, nn.Module) else None
        assert scale is not None
        assert scale.shape == shape_of(*tensors_of(smaller.module)[path])[:1]
    assert smaller.module(*smaller.examples(3)).shape == source.module(*source.examples(3)).shape


@pytest.mark.parametrize("name", NETS)
def test_removing_what_is_pruned_changes_nothing(name: str) -> None:
    """Masks that prune every index but the kept ones of an exact axis: removing those is exact, whatever is stored."""
    source = masked(name)
    axes = analyse(source)
    axis = next(a for a in axes.prunable() if a.exact)
    keep = random_halves(axes)[axis.name]
    gone = torch.ones(axis.size, dtype=torch.bool).index_fill_(0, keep, False)
    for where in axis.slices:
        module, tensor = tensors_of(source.module)[where.parameter]
        positions = axes.positions(axis, where)[gone].flatten()
        stack = constraints_of(module, tensor)
        if stack and isinstance(stack[0], Mask):
            stack[0].keep.index_fill_(where.dim, positions, False)
        else:
            getattr(module, tensor).data.index_fill_(where.dim, positions, 0.0)
    smaller = remove(source, axes, {axis.name: keep})
    x = source.examples(3)
    before, after = source.module(*x), smaller.module(*x)
    assert float((before - after).detach().abs().max()) <= 1e-5 * float(before.detach().abs().max())


def test_scores_go_by_the_users_names() -> None:
    source = masked("lenet")
    axes = analyse(source)
    scores = {path: getattr(*tensors_of(source.module)[path]).detach().abs() for path in leaf_weights(model("lenet"))}
    axis = axes.axis("conv2.out")
    by_hand = scores["conv2.weight"].sum((1, 2, 3), dtype=torch.float64)
    by_hand += scores["fc1.weight"].view(120, 16, 25).sum((0, 2), dtype=torch.float64)
    assert torch.allclose(group_scores(axes, axis, scores), by_hand)


def test_a_slim_copy_keeps_the_mask_and_one_with_new_weights_does_not() -> None:
    source = masked("lenet")
    assert violations(slim(source, 0.5)) == []
    assert slim(source, 0.5).form is Form.CONSTRAINED
    fresh = slim(source, 0.5, seed=1)
    assert fresh.form is Form.DENSE
    assert fresh.facts == {"sparsity": 0.0}
    assert bool((fresh.module.get_parameter("conv2.weight") != 0).all())
    assert source.form is Form.CONSTRAINED
    with pytest.raises(InputError, match="the model is quantized"):
        slim(quantized("lenet"), 0.5, seed=1)
