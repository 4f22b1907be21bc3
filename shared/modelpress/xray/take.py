"""Taking an x-ray: build the candidates, run them in turn, look at the layers, and say what it comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from modelpress.catalogue import Catalogue
from modelpress.config.settings import usable_cores
from modelpress.errors import InputError
from modelpress.graph.axes import analyse
from modelpress.graph.axes.describe import prunable_share
from modelpress.graph.costs import costs, totals
from modelpress.graph.model import BATCH, Model
from modelpress.graph.packages.session import Session, runtime_version
from modelpress.measure.rounds import no_garbage_collection
from modelpress.report import format as fmt
from modelpress.worker.fingerprint import machine, versions
from modelpress.xray import memory
from modelpress.xray.advice import Subject, next_command
from modelpress.xray.budget import Clock, needed_s
from modelpress.xray.candidates import ALWAYS, DENSE, WAYS, Built, Way, Workshop, attempt
from modelpress.xray.findings import Candidate, Machine, Skipped, XRay
from modelpress.xray.kernels import Kernel, float_layers, kernel_times_us
from modelpress.xray.layers import layer_findings
from modelpress.xray.measuring import Measured, measure, once_s
from modelpress.xray.sections.gains import Gain, gain
from modelpress.xray.structure import axes_found, frozen_found, nothing_prunable
from modelpress.xray.verdict import suggested, verdict, width_series
from modelpress.xray.warnings import warnings

Say = Callable[[str], None]
PROFILE_S = 1.0
PROFILED_CALLS = (3, 20)


@dataclass(frozen=True)
class Options:
    """``batches`` ascending; ``threads`` of the runtime; ``budget_s`` for building and measuring together.

    Raises:
        InputError: a batch or a budget that is not positive, no thread, or more threads than there are cores.
    """

    batches: tuple[int, ...] = (1, 64)
    threads: int = 1
    budget_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1:
            raise InputError(f"--batch {min(self.batches, default=0)}: a call has at least one sample")
        if self.threads < 1:
            raise InputError(f"--threads {self.threads}: the runtime needs at least one")
        if self.threads > usable_cores():
            raise InputError(f"--threads {self.threads}: there are {usable_cores()} cores to run them on")
        if self.budget_s <= 0:
            raise InputError(f"--budget-s {self.budget_s:g}: an x-ray takes some seconds; the default is 60")
        object.__setattr__(self, "batches", tuple(sorted(set(self.batches))))


@dataclass
class _Workbench:
    """What was built, and what was not."""

    built: dict[str, Built] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    floats: dict[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)


def take(model: Model, subject: Subject, options: Options, catalogue: Catalogue, clock: Clock, say: Say) -> XRay:
    """X-ray ``model`` on this machine; ``say`` is told what is being done.

    Raises:
        InputError: too large for the memory that is free, every axis is frozen, or the model itself has no package.
    """
    rows = costs(model)
    weight_bytes = totals(rows).weight_bytes
    free_bytes = memory.free_bytes()
    memory.check_weights(weight_bytes, free_bytes)
    batches, told = memory.fitting_batches(model, _batches(model, options.batches), weight_bytes, free_bytes)
    say("analysing which widths can change")
    axes = analyse(model)
    frozen = frozen_found(model, axes)
    if not axes.prunable():
        raise InputError(nothing_prunable(frozen))
    bench = _build_all(Workshop(model, axes, catalogue), batches, options, clock, say)
    measured = measure(bench.sessions, batches, clock, say)
    candidates = _candidates(bench, measured)
    smallest = measured.batches[0]
    best = _best(candidates, smallest)
    say("timing the layers of " + " and ".join(dict.fromkeys((candidates[0].name, best.name))))
    profiled = _profiled(bench, best.name, candidates[0], smallest, options.threads)
    layers = layer_findings(model, rows, *profiled)
    found = axes_found(model, axes)
    suggestion = suggested(width_series(candidates, smallest), smallest)
    return XRay(
        source=subject.title,
        verdict=verdict(candidates, smallest),
        batches=tuple(measured.batches),
        candidates=candidates,
        skipped=(*bench.skipped, *measured.skipped),
        layers=layers,
        layers_beside=best.name,
        axes=found,
        frozen=frozen,
        prunable_share=prunable_share(model, axes),
        notes=model.notes,
        warnings=(*told, *measured.warnings, *warnings(candidates, layers, found, measured.batches)),
        next_command=next_command(subject, suggestion),
        machine=this_machine(options.threads),
        seconds=clock.elapsed_s,
        noisy="; ".join(measured.noisy),
    )


def this_machine(threads: int) -> Machine:
    """What the figures depend on."""
    facts = machine()
    return Machine(str(facts["cpu"]), int(facts["cores"]), threads, runtime_version(), dict(versions()))


def _batches(model: Model, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """A model without a batch dimension has one way to be called."""
    counts = any(BATCH in spec.shape for spec in model.inputs)
    return wanted if counts else wanted[:1]


def _build_all(workshop: Workshop, batches: Sequence[int], options: Options, clock: Clock, say: Say) -> _Workbench:
    """The dense model and int8 always, and every other way that the budget has time for."""
    bench = _Workbench()
    last_s = measuring_s = 0.0
    for way in WAYS:
        if way not in ALWAYS and not clock.may_build(last_s, measuring_s):
            bench.skipped.append(Skipped(way.name, _no_time(clock, last_s)))
            continue
        say(f"building {way.name}")
        before_s = clock.elapsed_s
        with no_garbage_collection():  # an export makes millions of objects that all stay until its end
            _add(bench, way, workshop, options.threads)
        last_s = clock.elapsed_s - before_s
        if way == DENSE:
            call_s = once_s(bench.sessions[way.name], batches[0])
            measuring_s = needed_s(call_s * batch / batches[0] for batch in batches for _ in WAYS)
    return bench


def _add(bench: _Workbench, way: Way, workshop: Workshop, threads: int) -> None:
    if way == DENSE:
        built = workshop.build(way)  # without it there is nothing to compare with: its error is the x-ray's
        bench.sessions[way.name] = Session(built.package, threads)
    else:
        made = attempt(lambda: _with_session(workshop, way, threads))
        if isinstance(made, str):
            bench.skipped.append(Skipped(way.name, made))
            return
        built, bench.sessions[way.name] = made
    bench.built[way.name] = built
    bench.floats[way.name] = float_layers(built) if way.int8 else ()


def _with_session(workshop: Workshop, way: Way, threads: int) -> tuple[Built, Session]:
    built = workshop.build(way)
    return built, Session(built.package, threads)


def _no_time(clock: Clock, expected_s: float) -> str:
    return (
        f"building it takes about {fmt.duration(expected_s)}, which the budget of {clock.budget_s:g} s does not hold; "
        "raise it with --budget-s"
    )


def _candidates(bench: _Workbench, measured: Measured) -> tuple[Candidate, ...]:
    """The dense model first, then by width from wide to narrow, floats before int8."""
    dense = bench.built[DENSE.name]
    ordered = sorted(bench.built.values(), key=lambda built: (-built.way.width, built.way.int8))
    return tuple(
        Candidate(
            name=built.way.name,
            width=float(built.way.width),
            int8=built.way.int8,
            size_bytes=built.package.size_bytes,
            size_ratio=dense.package.size_bytes / built.package.size_bytes,
            parameters=built.parameters,
            macs=built.macs,
            latencies=tuple(measured.latencies.get(built.way.name, ())),
            float_layers=bench.floats[built.way.name],
        )
        for built in ordered
    )


def _best(candidates: Sequence[Candidate], batch: int) -> Candidate:
    """Whose layers stand beside the dense model's: the suggested width, else the smallest that is faster."""
    chosen = suggested(width_series(candidates, batch), batch)
    if chosen is not None:
        return chosen
    others = [c for c in candidates[1:] if (one := c.at(batch)) and gain(one) is Gain.FASTER]
    return max(others, key=lambda c: c.size_ratio) if others else candidates[0]


def _profiled(
    bench: _Workbench, best: str, dense: Candidate, batch: int, threads: int
) -> tuple[dict[Kernel, float], dict[Kernel, float]]:
    sides = {DENSE.name: bench.built[DENSE.name], best: bench.built[best]}
    latency = dense.at(batch)
    least, most = PROFILED_CALLS
    calls = most if latency is None else max(least, min(most, int(PROFILE_S * 1e3 / latency.median_ms)))
    times = kernel_times_us(sides, batch, threads, calls)
    return times[DENSE.name], times[best]
