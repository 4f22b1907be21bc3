from statistics import mean

import pytest
import torch
from torch import nn

from modelpress.data.dataset import Dataset
from modelpress.errors import InputError
from modelpress.graph.axes import analyse, remove
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.job import LocalJob
from modelpress.testing.zoo import ZOO
from modelpress.training.evaluate import top1
from modelpress_pruner.kernels.channels import local_counts, random_choice
from modelpress_pruner.kernels.l1_filter import producer_scores, relative_norms, run
from modelpress_pruner.methods.l1_filter import Params


def test_norm_of_a_filter_is_the_sum_of_its_weights_magnitudes() -> None:
    weight = torch.tensor([[[1.0, -2.0]], [[0.0, 0.5]], [[-3.0, -0.5]]])  # sums 3, 0.5, 3.5; mean 7/3
    torch.testing.assert_close(relative_norms(weight), torch.tensor([3.0, 0.5, 3.5], dtype=torch.float64) * 3 / 7)


def test_a_layer_of_zeros_scores_zero() -> None:
    assert relative_norms(torch.zeros(3, 2)).tolist() == [0.0, 0.0, 0.0]


def test_a_residual_sum_is_scored_by_all_its_producers(trained: Model) -> None:
    axes = analyse(trained)
    norms = {name: torch.arange(16.0) for name in ("stem.0.weight", "inner.3.weight")}
    norms["inner.0.weight"] = torch.full((32,), 100.0)  # consumes the sum; its filters make another axis
    scores = producer_scores(axes, axes.axis("stem.0.out"), norms)
    assert scores.tolist() == [2.0 * index for index in range(16)]


def test_the_smallest_filters_go(trained: Model) -> None:
    weight = trained.module.get_parameter("inner.0.weight").detach()
    strong = relative_norms(weight).topk(16).indices.sort().values
    small = run(model=trained, params=Params(sparsity=0.5, multiple=1), job=LocalJob())["model"]
    stem = relative_norms(trained.module.get_parameter("stem.0.weight"))
    stem = stem + relative_norms(trained.module.get_parameter("inner.3.weight"))
    kept = stem.topk(8).indices.sort().values
    assert torch.equal(small.module.get_parameter("inner.0.weight"), weight[strong][:, kept])


def test_beats_drawing_lots_at_equal_sparsity(trained: Model, data: Dataset) -> None:
    axes = analyse(trained)
    sizes = {axis.name: axis.size for axis in axes.prunable()}
    counts = local_counts(sizes, 0.5, 1)
    lots = [remove(trained, axes, random_choice(sizes, counts, seed)) for seed in range(5)]
    small = run(model=trained, params=Params(sparsity=0.5, multiple=1), job=LocalJob())["model"]
    assert top1(small.module, data, "test") > mean(top1(model.module, data, "test") for model in lots)


def test_neurons_of_a_perceptron_go_too() -> None:
    model = export(ZOO["lenet-300-100"].lively(), ZOO["lenet-300-100"].example(), check=False)
    job = LocalJob()
    small = run(model=model, params=Params(sparsity=0.5, multiple=4), job=job)["model"]
    assert [tuple(p.shape) for p in small.module.parameters() if p.ndim == 2] == [(152, 784), (52, 152), (10, 52)]
    assert small.module(*small.examples()).shape == (2, 10)


def test_a_model_without_free_axes_is_refused_with_the_reason() -> None:
    model = export(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), torch.randn(2, 1, 2, 2), check=False)
    with pytest.raises(InputError, match=r"no free axis has a filter.*1\.out by output"):
        run(model=model, params=Params(sparsity=0.5, multiple=1), job=LocalJob())
