"""SIGKILL at any moment: is anything lost, accepted twice, or different?

Each trial has a fresh home with a trained LeNet and a slice of Fashion-MNIST. A process submits a pipeline of six real
methods and drives it; at a moment drawn evenly over the whole life of that process its engine, its engine's children or
both are killed, in turn; where the engine died, a new process with the same command runs the rest. Then every run that
was ever submitted there must have succeeded, with every blob of every output intact, every result accepted once, and
the same digests as in the runs that nothing disturbed. Latency is measured in the pipeline too; no digest of it is
promised.

Then a training step of ten epochs alone, killed at moments drawn evenly over its training.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.engine.audit import Audit, audit, epochs_redone
from benchmarks.engine.job import PURE, prepare
from benchmarks.engine.trial import VICTIMS, Kill, Trial, Victim, attempt
from benchmarks.harness import Figure, Figures
from modelpress.config.settings import load_settings, usable_cores
from modelpress.engine.events import StepProgressed, StepStarted

SEED = 20261124
AT_ONCE = min(2, usable_cores())
TRIES = 10
"""A moment that came after the end is drawn anew, so often at most."""


@dataclass(frozen=True)
class Scale:
    trials: int = 200
    training_trials: int = 20
    undisturbed: int = 4


QUICK = Scale(trials=6, training_trials=2, undisturbed=2)


@dataclass(frozen=True)
class Result:
    """What came of one trial; ``victim`` is None where nothing was killed."""

    victim: Victim | None
    trial: Trial
    audit: Audit

    @property
    def redone(self) -> int:
        return epochs_redone(self.trial.events)


@dataclass(frozen=True)
class Course:
    """A pipeline under trial: ``outputs`` have promised digests, kills fall into the ``span_s`` of undisturbed runs."""

    name: str
    outputs: tuple[str, ...]
    in_step: bool
    span_s: Callable[[Trial], float]


def run(*, quick: bool) -> Figures:
    scale = QUICK if quick else Scale()
    six = Course("six", PURE, False, lambda trial: trial.seconds)
    training = Course("training", ("model",), True, _training_s)
    cache = load_settings().cache / "benchmarks"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        template = Path(folder) / "template"
        prepare(template)
        runs = _Trials(template, Path(folder), cache / "kill-found", scale.undisturbed)
        return {
            **_six_figures(runs.series(six, scale.trials), scale.trials),
            **_training_figures(runs.series(training, scale.training_trials), scale.training_trials),
        }


class _Trials:
    """Trials in ``folder``, each from the home ``template``; homes where something was found are moved to ``found``."""

    def __init__(self, template: Path, folder: Path, found: Path, undisturbed: int) -> None:
        self._template, self._folder, self._found, self._undisturbed = template, folder, found, undisturbed

    def series(self, course: Course, trials: int) -> list[Result]:
        """Undisturbed runs, then trials whose kills are drawn over the time that those took."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            calm = list(pool.map(lambda i: self._trial(course, f"calm-{i}", None), range(self._undisturbed)))
            moments = drawn(median(course.span_s(result.trial) for result in calm), trials, random.Random(SEED))
            killed = []
            for result in pool.map(lambda i: self._hit(course, i, moments[i]), range(trials)):
                killed.append(result)
                print(f"{course.name} {len(killed):3d}  {_line(result)}", flush=True)
        return calm + killed

    def _hit(self, course: Course, index: int, moment_s: float) -> Result:
        """One trial whose victim was alive at the moment; where it was not, again with an earlier one."""
        victim = VICTIMS[index % len(VICTIMS)]
        for again in range(TRIES):
            planned = Kill(victim, moment_s * (1 - again / TRIES), course.in_step)
            result = self._trial(course, f"{index}-{again}", planned)
            if result.victim is not None or result.audit.lost:
                return result
        raise RuntimeError(f"no process lived long enough in {TRIES} tries; the first moment was {moment_s:.1f} s")

    def _trial(self, course: Course, name: str, planned: Kill | None) -> Result:
        folder = self._folder / f"{course.name}-{name}"
        folder.mkdir()
        self._found.mkdir(exist_ok=True)
        trial = attempt(self._template, folder, course.name, planned)
        found = audit(trial.home, course.outputs)
        if found.lost or found.accepted_twice:
            print(f"kept: {shutil.move(folder, self._found / f'{time.time_ns()}-{folder.name}')}", flush=True)
        else:
            shutil.rmtree(folder)
        return Result(planned.victim if planned and trial.hit else None, trial, found)


def drawn(span_s: float, count: int, source: random.Random) -> list[float]:
    """``count`` moments in [0, ``span_s``), one in each of ``count`` equal parts, in random order."""
    moments = [(index + source.random()) * span_s / count for index in range(count)]
    source.shuffle(moments)
    return moments


def _training_s(trial: Trial) -> float:
    """From the step's start to its last epoch."""
    started = next(event.at_s for event in trial.events if isinstance(event, StepStarted))
    return max(event.at_s for event in trial.events if isinstance(event, StepProgressed)) - started


def _line(result: Result) -> str:
    found = result.audit
    return (
        f"{result.victim or '-':6s} {result.trial.seconds:5.1f} s  lost {found.lost} of {found.submitted}  "
        f"twice {found.accepted_twice}  digests {len(found.digests)}  epochs redone {result.redone}"
    )


def _six_figures(results: Sequence[Result], trials: int) -> Figures:
    kills = Counter(result.victim for result in results if result.victim)
    note = ", ".join(f"{kills[victim]} {victim}" for victim in VICTIMS)
    calm = [result.trial.seconds for result in results if result.victim is None]
    return {
        "kills": Figure(kills.total(), "kills", target=f">= {trials}", note=note),
        "lost": Figure(sum(result.audit.lost for result in results), "runs", target="<= 0"),
        "accepted_twice": Figure(sum(result.audit.accepted_twice for result in results), "results", target="<= 0"),
        "digests": Figure(len(_digests(results)), "sets of outputs", target="<= 1", note="undisturbed runs included"),
        "undisturbed_s": Figure(median(calm), "s", tuple(calm), note=f"{AT_ONCE} at once, from the process's start"),
    }


def _training_figures(results: Sequence[Result], trials: int) -> Figures:
    redone = tuple(float(result.redone) for result in results if result.victim)
    return {
        "training_kills": Figure(len(redone), "kills", target=f">= {trials}"),
        "training_lost": Figure(sum(result.audit.lost for result in results), "runs", target="<= 0"),
        "epochs_redone_max": Figure(max(redone, default=0.0), "epochs", redone, "<= 1", "begun twice; of ten"),
        "training_digests": Figure(len(_digests(results)), "models", target="<= 1", note="undisturbed runs included"),
    }


def _digests(results: Sequence[Result]) -> set[tuple[str, ...]]:
    return {digests for result in results for digests in result.audit.digests}
