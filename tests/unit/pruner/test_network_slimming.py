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
from modelpress_pruner.kernels.channels import random_choice
from modelpress_pruner.kernels.network_slimming import relative, relative_scores, run, scales_by_axis
from modelpress_pruner.methods.network_slimming import Params


def params(sparsity: float = 0.5, *, epochs: int = 0, l1: float = 1e-4, multiple: int = 1) -> Params:
    return Params(
        sparsity=sparsity,
        epochs=epochs,
        l1=l1,
        learning_rate=0.05,
        batch_size=64,
        multiple=multiple,
        floor=0.1,
        spare_first=False,
    )


def test_scales_are_relative_to_their_layers_mean() -> None:
    assert relative(torch.tensor([1.0, -3.0, 2.0])).tolist() == [0.5, 1.5, 1.0]
    assert relative(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_only_axes_with_scales_count_and_a_sum_has_those_of_both_its_norms(trained: Model) -> None:
    assert scales_by_axis(trained, analyse(trained)) == {
        "stem.0.out": ("stem.1.weight", "inner.4.weight"),
        "inner.0.out": ("inner.1.weight",),
    }


def test_the_score_of_a_tied_channel_is_the_mean_over_its_norms(trained: Model) -> None:
    axes = analyse(trained)
    ramp = torch.arange(16.0)
    scales = {"stem.1.weight": ramp, "inner.4.weight": -2 * ramp.flip(0)}
    scores = relative_scores(axes, axes.axis("stem.0.out"), scales)
    torch.testing.assert_close(scores, torch.ones(16, dtype=torch.float64))


def test_depthwise_convolutions_are_scored_with_what_feeds_them() -> None:
    entry = ZOO["mobilenet-v2"]
    model = export(entry.lively(), entry.example(), check=False)
    tied = scales_by_axis(model, analyse(model))
    assert ("features.2.conv.0.1.weight", "features.2.conv.1.1.weight") in tied.values()


def test_without_epochs_the_model_is_ranked_as_it_is_and_left_alone(trained: Model, data: Dataset) -> None:
    before = {name: tensor.clone() for name, tensor in trained.module.state_dict().items()}
    job = LocalJob()
    small = run(model=trained, data=data, params=params(), job=job)["model"]
    assert job.metrics["channels_removed_share"] == 0.5
    assert job.metrics["top1"] == top1(small.module, data, "validation")
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.module.state_dict().items())
    kept = small.module.get_parameter("inner.1.weight")
    assert torch.equal(kept, before["inner.1.weight"][torch.isin(before["inner.1.weight"], kept)])


def test_the_first_layers_channels_are_spared(trained: Model, data: Dataset) -> None:
    spared = params().model_copy(update={"spare_first": True})
    small = run(model=trained, data=data, params=spared, job=LocalJob())["model"]
    assert small.module.get_parameter("stem.0.weight").shape[0] == 16
    assert small.module.get_parameter("inner.0.weight").shape[0] == 16


def test_beats_drawing_lots_at_equal_sparsity(trained: Model, data: Dataset) -> None:
    axes = analyse(trained)
    small = run(model=trained, data=data, params=params(), job=LocalJob())["model"]
    slim = analyse(small)
    sizes = {name: axes.axis(name).size for name in scales_by_axis(trained, axes)}
    counts = {name: slim.axis(name).size for name in sizes}
    lots = [remove(trained, axes, random_choice(sizes, counts, seed)) for seed in range(5)]
    assert top1(small.module, data, "test") > mean(top1(model.module, data, "test") for model in lots)


def test_training_under_the_penalty_shrinks_the_scales(trained: Model, data: Dataset) -> None:
    jobs = {l1: LocalJob() for l1 in (0.0, 0.1)}
    for l1, job in jobs.items():
        run(model=trained, data=data, params=params(epochs=1, l1=l1), job=job)
    free, penalised = (job.events[-1][3]["scale_l1"] for job in jobs.values())
    assert penalised < 0.95 * free


def test_counts_are_multiples(trained: Model, data: Dataset) -> None:
    small = run(model=trained, data=data, params=params(multiple=8), job=LocalJob())["model"]
    assert small.module.get_parameter("inner.0.weight").shape[:2] == (16, 8)


def test_a_model_without_norms_is_refused_with_the_reason(data: Dataset) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 4))
    model = export(net, torch.randn(2, 1, 8, 8), check=False)
    with pytest.raises(InputError, match=r"no free axis has a batch-norm scale.*3\.out by output"):
        run(model=model, data=data, params=params(), job=LocalJob())
