"""``demo``: the main job on real data, from a trained model to a small file and its report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelpress.cli import options, output, tables
from modelpress.cli.commands.runs import wait
from modelpress.job import LocalJob

if TYPE_CHECKING:
    from torch import nn

    from modelpress.client.client import Client
    from modelpress.client.run import Run
    from modelpress.data.dataset import Dataset
    from modelpress.engine.state import RunState
    from modelpress.report.evidence import Candidate

RECIPE = "slim-distill-int8"
MODEL = "demo/fashion-resnet"
DATA = "fashion-mnist"
NEXT = (
    "your own: modelpress push model my_models:build --input 1,28,28 --name mine, "
    f"then modelpress run {RECIPE} --model mine --data {DATA}"
)


@dataclass(frozen=True)
class Scale:
    """How much of the data a demo uses (None: all), for how long, and under which gates (the recipe's when empty)."""

    data_name: str
    samples: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    training_epochs: int | None = None


FULL = Scale(DATA)
QUICK = Scale(
    f"{DATA}-quick",
    samples={"train": 4096, "calibration": 256, "validation": 1000, "test": 1000},
    settings={"slim_epochs": 1, "epochs": 1, "max_drop_points": 100, "min_size_ratio": 0},
    training_epochs=1,
)


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Start here")(demo)


def demo(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A small part of the data for one epoch; its gates let all pass: about a minute."),
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for the report and the file to deploy.")] = Path("out"),
    home: options.Home = None,
    seed: options.Seed = None,
) -> None:
    """Compress a trained network on real data, and write the evidence as a page to open."""
    scale = QUICK if quick else FULL
    with options.client(home) as client:
        run = submit(client, scale, seed)
        wait(run)
        beside = () if quick else benchmarked()
        tables.comparison((*run.candidates(), *beside))
        tell(run, out, quick, beside)
        if not run.succeeded:
            raise typer.Exit(1)


def submit(client: Client, scale: Scale, seed: int | None) -> Run:
    """Push model and data as a user pushes theirs, and submit the recipe."""
    dataset = load_data(client, scale)
    net, example = load_net(client, dataset, scale)
    model = client.push_model(net, example, name=MODEL)
    data = client.push_data(dataset, name=scale.data_name)
    for ref in (model, data):
        output.say(f"pushed   {ref.name}  {tables.about(ref.manifest())}")
    return client.run(RECIPE, model=model, data=data, set=scale.settings, seed=seed)


def load_data(client: Client, scale: Scale) -> Dataset:
    """Fashion-MNIST, or the first samples of each of its splits."""
    from modelpress.data.importers import import_data

    full = import_data(DATA, settings=client.settings)
    return first_samples(full, scale.samples) if scale.samples else full


def first_samples(dataset: Dataset, counts: dict[str, int]) -> Dataset:
    """The first ``counts`` samples of each split."""
    from modelpress.data.dataset import Dataset, Split

    splits = {
        name: Split(split.inputs[: counts[name]].clone(), split.targets[: counts[name]].clone())
        for name, split in dataset.splits.items()
    }
    return Dataset(dataset.description, splits)


def load_net(client: Client, dataset: Dataset, scale: Scale) -> tuple[nn.Module, Any]:
    """The demo's network with its shipped weights; trained here where the distribution has none."""
    from modelpress.demo.net import build, example, weights

    shipped = weights()
    if shipped is None:
        shipped = trained_weights(client.settings.cache / "demo", dataset, scale, client.settings.threads)
    return build(shipped), example()


@dataclass
class TellingJob(LocalJob):
    """Says after each epoch how training goes."""

    def progress(self, stage: str, done: float, total: float, **metrics: float) -> None:
        if float(done).is_integer():
            figures = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            output.complain(f"  epoch {done:.0f}/{total:.0f}  {figures}")


def trained_weights(cache: Path, dataset: Dataset, scale: Scale, threads: int) -> bytes:
    """Weights from ``cache``, or trained now and kept there."""
    from modelpress.client.export import save_file
    from modelpress.demo.train import EPOCHS, train

    epochs = scale.training_epochs or EPOCHS
    path = cache / f"{scale.data_name}-{epochs}-epochs.safetensors"
    if path.exists():
        output.say(f"the shipped weights are absent; using those trained before ({path})")
        return path.read_bytes()
    output.say(f"the shipped weights are absent; training them, epochs: {epochs} (once, kept in {cache})")
    data, _ = train(dataset, TellingJob(threads=threads), epochs)
    save_file(data, path)
    return data


def benchmarked() -> tuple[Candidate, ...]:
    """The baseline that takes too long for a demo, from the benchmark: the slim shape trained from random weights."""
    from modelpress.demo.net import baselines
    from modelpress.report.evidence import Candidate, Role

    return tuple(Candidate("benchmark", Role.BASELINE, label, "", figures) for label, figures in baselines().items())


def tell(run: Run, out: Path, quick: bool, beside: tuple[Candidate, ...]) -> None:
    """What came out, where it lies, what to try next: a line each."""
    state = run.state
    output.say(run.verdict, f"bold {tables.STYLES.get(state.status, '')}".strip())
    if all_cached(state):
        output.say("every step was found in the cache: nothing was computed again")
    report = run.report(out / "report.html", beside)
    written = [f"report {report}"]
    if "package" in run.outputs:
        written.insert(0, f"file to deploy {run.outputs['package'].save(out / 'fashion-resnet.onnx')}")
    output.say(f"lies in  {', '.join(written)}")
    output.say(f"repeat   modelpress get {run.id}")
    output.say("next     " + ("modelpress demo   (all of the data, about five minutes)" if quick else NEXT))


def all_cached(state: RunState) -> bool:
    return bool(state.steps) and all(step.cached for step in state.steps.values())
