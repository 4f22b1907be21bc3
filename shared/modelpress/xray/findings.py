"""What an x-ray finds, as records that the table, ``--json`` and the page all read. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

VERSION = 1
ALL_CARRIED = "nothing is known to be missing: what the module does in training only, the graph does too"
"""Said where `XRay.notes` is empty."""


@dataclass(frozen=True)
class Latency:
    """A candidate at one batch size, beside the dense model in the same rounds.

    ``ratio`` is dense over candidate, the median of the ratios of whole turns within rounds, with its 95 % interval.
    ``median_ms`` is the dense model's undisturbed call, the median of the rounds' fastest ones, over that ratio: a
    quick one's own fastest calls fit between other work, and tell too little on a busy machine. ``noise`` is the
    interquartile range of the rounds over their median.
    """

    batch: int
    median_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    noise: float


@dataclass(frozen=True)
class Candidate:
    """One way to compress the model, built and measured: a width as a share of every axis, with or without int8."""

    name: str
    width: float
    int8: bool
    size_bytes: int
    size_ratio: float
    parameters: int
    macs: int
    latencies: tuple[Latency, ...]
    float_layers: tuple[str, ...] = ()
    """Of an int8 candidate: layers that the runtime has no integer kernel for, and computes in floats."""

    def at(self, batch: int) -> Latency | None:
        """None where the budget did not reach to measure it at that batch; `XRay.skipped` says so."""
        return next((one for one in self.latencies if one.batch == batch), None)


@dataclass(frozen=True)
class Skipped:
    """A candidate that could not be built or measured, and why: an x-ray leaves nothing out in silence."""

    name: str
    why: str


@dataclass(frozen=True)
class LayerFinding:
    """A layer of the dense model. Times are microseconds a call at the smallest batch; None where not measured."""

    path: str
    type: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    weight_bytes: int
    activation_bytes: int
    dense_us: float | None = None
    best_us: float | None = None
    """In the candidate that ``XRay.layers_beside`` names."""


@dataclass(frozen=True)
class AxisFinding:
    """An index space that can shrink: what hangs on it, and which operator makes removal approximate, if any."""

    name: str
    size: int
    layers: tuple[str, ...]
    parameters: int
    inexact_because: str = ""


@dataclass(frozen=True)
class FrozenFinding:
    """An index space that must stay: what holds it, and where in the user's code, as `modelpress.graph.axes.held` says.

    ``parameters`` run along it; ``whole`` of them have no dimension that can shrink, each told at one axis only.
    """

    name: str
    why: str
    line: str = ""
    parameters: int = 0
    whole: int = 0


@dataclass(frozen=True)
class Machine:
    """What the figures depend on, so that they can be repeated."""

    cpu: str
    cores: int
    threads: int
    runtime: str
    versions: dict[str, str]


@dataclass(frozen=True)
class XRay:
    """Everything; ``verdict`` first, two sentences. ``warnings`` say what does not pay and why."""

    source: str
    verdict: str
    batches: tuple[int, ...]
    candidates: tuple[Candidate, ...]
    """The dense model first."""
    skipped: tuple[Skipped, ...]
    layers: tuple[LayerFinding, ...]
    layers_beside: str
    axes: tuple[AxisFinding, ...]
    frozen: tuple[FrozenFinding, ...]
    prunable_share: float
    notes: tuple[str, ...]
    """What of the module the export does not carry, above all of its behaviour in training; empty where it has all."""
    warnings: tuple[str, ...]
    next_command: str
    machine: Machine
    seconds: float
    noisy: str = ""
    """Empty, or why the machine was too busy to trust the ratios."""
    version: int = field(default=VERSION)
