"""The axes over the zoo, their speed beside Torch-Pruning's, and what a half of the MACs costs a trained network."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from statistics import mean, median

import torch
from torch import nn

from benchmarks.harness import Figure, Figures
from modelpress.cli.commands.demo import QUICK, first_samples
from modelpress.config.settings import load_settings
from modelpress.data.dataset import Dataset
from modelpress.data.importers import import_data
from modelpress.demo.net import build, example, weights
from modelpress.graph.axes import analyse, keep_count, remove
from modelpress.graph.axes.describe import prunable_share
from modelpress.graph.costs import costs, totals
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.job import LocalJob
from modelpress.testing import structure
from modelpress.testing.structure import Structure
from modelpress.testing.zoo import ZOO, Entry, Input
from modelpress.testing.zoo.packaged import timm_net, torchvision_net, transformers_net
from modelpress.training.evaluate import top1
from modelpress_distiller.kernels import kd
from modelpress_distiller.methods.kd import Params as KdParams
from modelpress_pruner.kernels import l1_filter
from modelpress_pruner.methods.l1_filter import Params as FilterParams

SEEDS = (0, 1, 2)
REPEATS = 7
TIMED: Mapping[str, Entry] = {
    "resnet50": Entry(torchvision_net("resnet50"), {"x": Input(("batch", 3, 224, 224))}),
    "vit": Entry(timm_net("vit_tiny_patch16_224"), {"x": Input(("batch", 3, 224, 224))}),
    "bert": Entry(
        transformers_net("BertForSequenceClassification", "BertConfig"),
        {"input_ids": Input(("batch", "length"), 1000), "attention_mask": Input(("batch", "length"), 2)},
    ),
}


def run(*, quick: bool) -> Figures:
    torch.set_num_threads(2)
    return {**_contract(quick), **_speed(quick), **_recovery(quick)}


def _contract(quick: bool) -> Figures:
    names = ("lenet-5", "resnet-18", "vit-tiny", "lstm") if quick else tuple(ZOO)
    failed: dict[str, str] = {}
    changes, shares, inexact = {}, {}, 0
    for name in names:
        network = Structure.of(name)
        said = [f"{title}: {text}" for title, check in structure.CHECKS.items() if (text := check(network))]
        if said:
            failed[name] = "; ".join(said)
        exact = [axis for axis in network.axes.prunable() if axis.exact]
        changes[name] = structure.largest_change(network, exact)
        inexact += len(network.axes.prunable()) - len(exact)
        shares[name] = prunable_share(network.model, network.axes)
        print(f"{name}: {failed.get(name, 'holds')}; change {changes[name]:.1e}, share {shares[name]:.3f}", flush=True)
    worst = min(shares, key=shares.__getitem__)
    return {
        "pruned": Figure(len(names) - len(failed), "networks", target=f">= {len(names)}", note="; ".join(failed)),
        "of": Figure(len(names), "networks"),
        "max_change": Figure(max(changes.values()), "share of the output's scale", target="<= 1e-5"),
        "inexact_axes": Figure(inexact, "axes", note="marked with the operator that counts or compares over them"),
        "prunable_share_min": Figure(shares[worst], "share", target=">= 0.9", note=worst),
    }


def _speed(quick: bool) -> Figures:
    """Analysis and removal of half of every width; Torch-Pruning's in turn with ours, on the eager module."""
    models = {name: export(e.lively(), e.examples(), dynamic=e.dynamic(), check=False) for name, e in TIMED.items()}
    eager = TIMED["resnet50"].lively()
    seconds: dict[str, list[float]] = {name: [] for name in (*models, "torch_pruning")}
    for _ in range(2 if quick else REPEATS):
        for name, model in models.items():
            seconds[name].append(_timed(lambda model=model: _halve(model)))  # type: ignore[misc]
        seconds["torch_pruning"].append(_timed(lambda: _halve_by_torch_pruning(copy.deepcopy(eager))))
    ratios = [ours / theirs for ours, theirs in zip(seconds["resnet50"], seconds["torch_pruning"], strict=True)]
    targets = {"resnet50": "<= 1", "vit": "<= 1", "bert": "<= 2"}
    rows = {f"{n}_s": Figure(median(s), "s", tuple(s), targets.get(n, "")) for n, s in seconds.items()}
    return {**rows, "ratio_to_torch_pruning": Figure(median(ratios), "x", tuple(ratios), "<= 1", "ours over theirs")}


def _halve(model: Model) -> None:
    axes = analyse(model)
    remove(model, axes, {a.name: torch.arange(keep_count(a.size, 0.5)) for a in axes.prunable()})


def _halve_by_torch_pruning(net: nn.Module) -> None:
    import torch_pruning

    example = torch.randn(2, 3, 224, 224)
    importance = torch_pruning.importance.RandomImportance()
    last = [m for m in net.modules() if isinstance(m, nn.Linear)]
    torch_pruning.pruner.BasePruner(net, example, importance, pruning_ratio=0.5, ignored_layers=last).step()


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _recovery(quick: bool) -> Figures:
    """The demo's network at half its MACs by l1-filter, then three epochs of distillation from the whole one."""
    shipped, data = weights(), import_data("fashion-mnist", settings=load_settings())
    assert shipped is not None, "the checkout ships the demo's weights"
    data = first_samples(data, QUICK.samples) if quick else data
    dense = export(build(shipped), example(), check=False)
    reference = top1(dense.module, data, "test")
    drops = []
    for seed in SEEDS[: 1 if quick else None]:
        small = _half_of_the_macs(dense)
        drops.append(reference - top1(_recovered(small, dense, data, seed).module, data, "test"))
        print(f"seed {seed}: {drops[-1]:.2f} points after 3 epochs", flush=True)
    share = _macs(_half_of_the_macs(dense)) / _macs(dense)
    return {
        "recovered_drop_points": Figure(mean(drops), "points", tuple(drops), "<= 1"),
        "recovered_macs_share": Figure(share, "share", note="of the dense network's"),
    }


def _half_of_the_macs(dense: Model) -> Model:
    """The l1-filter's model with the most channels that has at most half of the MACs."""
    whole = _macs(dense)
    for percent in range(10, 90):
        params = FilterParams(sparsity=percent / 100, multiple=1)
        small = l1_filter.run(model=dense, params=params, job=LocalJob(0))["model"]
        if _macs(small) <= whole / 2:
            return small
    raise AssertionError("no sparsity below 90 % halves the MACs")


def _recovered(small: Model, teacher: Model, data: Dataset, seed: int) -> Model:
    params = KdParams(epochs=3, learning_rate=0.05)
    return kd.run(student=small, teacher=teacher, data=data, params=params, job=LocalJob(seed))["model"]


def _macs(model: Model) -> int:
    return totals(costs(model)).macs
