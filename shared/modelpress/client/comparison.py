"""Two models or two packages side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from modelpress.catalogue import Kind
from modelpress.client.contents import Contents, contents, measured_candidates
from modelpress.client.refs import Ref
from modelpress.engine.state import RunState
from modelpress.errors import InputError
from modelpress.report.evidence import Candidate, Role
from modelpress.report.layers import Layer, LayerChange
from modelpress.report.layers import compare as compare_layers

COMPARABLE = frozenset({Kind.MODEL, Kind.PACKAGE})


@dataclass(frozen=True)
class Total:
    """A figure of both; ``ratio`` is before over after, None where that says nothing."""

    name: str
    before: float | None
    after: float | None
    ratio: float | None


@dataclass(frozen=True)
class Comparison:
    """``totals`` are sums over the whole, then what run ``measured_in`` measured of both (empty: no run did)."""

    before: Contents
    after: Contents
    totals: tuple[Total, ...]
    layers: tuple[LayerChange, ...]
    measured_in: str = ""

    def as_record(self) -> dict[str, Any]:
        """As JSON; a layer of one side has null on the other."""
        keys = ("before", "after")
        sides = {k: _side(c) for k, c in zip(keys, (self.before, self.after), strict=True)}
        totals = [{"name": t.name, "before": t.before, "after": t.after, "ratio": t.ratio} for t in self.totals]
        layers = [{"path": c.path, "before": _layer(c.before), "after": _layer(c.after)} for c in self.layers]
        return {**sides, "totals": totals, "layers": layers, "measured_in": self.measured_in or None}


def _side(side: Contents) -> dict[str, Any]:
    return {"name": side.name, "digest": side.digest, "kind": str(side.kind), "form": side.form}


def _layer(layer: Layer | None) -> dict[str, Any] | None:
    if layer is None:
        return None
    facts = {"type": layer.type, "shape": list(layer.shape), "bits": layer.bits, "parameters": layer.parameters}
    return facts | {"macs": layer.macs, "weight_bytes": layer.weight_bytes, "sparsity": layer.sparsity}


def compare(before: Ref, after: Ref, runs: Sequence[RunState]) -> Comparison:
    """``after`` beside ``before``; ``runs`` (the newest first) as `contents` reads them.

    Latencies are compared only where one run measured both: of different runs they say nothing.

    Raises:
        InputError: they are not two models or two packages.
        NotFoundError, CorruptBlobError: as `contents`.
    """
    kinds = [ref.manifest().kind for ref in (before, after)]
    if kinds[0] is not kinds[1] or kinds[0] not in COMPARABLE:
        raise InputError(
            f"compare takes two models or two packages; '{_called(before)}' is a {kinds[0]}, "
            f"'{_called(after)}' a {kinds[1]}"
        )
    old, new = contents(before, runs), contents(after, runs)
    sums = [_total(name, old.totals.get(name), new.totals.get(name)) for name in {**old.totals, **new.totals}]
    run_id, figures = _measured_together(runs, before.digest, after.digest)
    return Comparison(old, new, (*sums, *figures), tuple(compare_layers(old.layers, new.layers)), run_id)


def _called(ref: Ref) -> str:
    return ref.name or ref.digest


def _total(name: str, before: float | None, after: float | None) -> Total:
    return Total(name, before, after, before / after if before and after else None)


def _measured_together(runs: Iterable[RunState], before: str, after: str) -> tuple[str, list[Total]]:
    for run in runs:
        found = {c.digest: c for c in measured_candidates(run)}
        if before in found and after in found:
            return run.run_id, list(_figures(found[before], found[after]))
    return "", []


def _figures(before: Candidate, after: Candidate) -> Iterable[Total]:
    if before.get("top1") is not None and after.get("top1") is not None:
        yield Total("top1", before.get("top1"), after.get("top1"), None)
    for batch in sorted({*before.batches} & {*after.batches}):
        name = f"latency_ms_b{batch}"
        old, new = _speed(before, batch), _speed(after, batch)
        yield Total(name, before.get(name), after.get(name), new / old if old and new else None)


def _speed(candidate: Candidate, batch: int) -> float | None:
    """How many times faster than the run's original, measured in turn with it."""
    return 1.0 if candidate.role is Role.ORIGINAL else candidate.get(f"latency_ratio_b{batch}")
