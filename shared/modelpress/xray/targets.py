"""What x-rays found on a target, kept with it, so that plans can say what does not pay there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.report import get_report, put_report
from modelpress.artifacts.store import Store
from modelpress.catalogue import QUANTIZED, Catalogue
from modelpress.errors import InputError
from modelpress.pipeline.plan import Plan
from modelpress.worker.fingerprint import target_fingerprint
from modelpress.xray.findings import Candidate, Latency, XRay

LOCAL = "local"
"""The target that this process runs on."""
TAG = f"targets/{LOCAL}"
PAYS = 1.05
"""A gain in speed below it is none."""
GRAPH = "graph.json"


def check_target(name: str) -> None:
    """Refuse a target other than this machine.

    Raises:
        InputError: nobody measures there.
    """
    if name != LOCAL:
        raise InputError(f"--target {name}: no worker runs on such a target; this version measures on '{LOCAL}' only")


def remember(store: Store, architecture: Digest, xray: XRay) -> Digest:
    """Add what ``xray`` found to the profile of this target; ``architecture`` is the digest of the model's graph.

    A profile made on another machine or other versions is left behind.
    """
    record = {"source": xray.source, "threads": xray.machine.threads, "candidates": list(map(asdict, xray.candidates))}
    while True:
        before = store.tags.get(TAG)
        kept = profile(store)
        digest = put_report(store, {**kept, "xrays": {**kept["xrays"], architecture: record}})
        if digest == before or store.tags.swap(TAG, before, digest):
            return digest


def profile(store: Store) -> dict[str, Any]:
    """The profile of this target as JSON: ``fingerprint``, and ``xrays`` by the digest of the model's graph."""
    fingerprint = target_fingerprint()
    digest = store.tags.get(TAG)
    kept = get_report(store, digest) if digest is not None else {}
    return kept if kept.get("fingerprint") == fingerprint else {"fingerprint": fingerprint, "xrays": {}}


@dataclass(frozen=True)
class Known:
    """What the last x-ray of a model's architecture measured on this target, by so many threads of the runtime.

    ``candidates`` begin with the dense model.
    """

    threads: int
    candidates: tuple[Candidate, ...]


def known(store: Store, model: Digest) -> Known | None:
    """What the profile of this target has of ``model``; None where its architecture was not x-rayed here."""
    graphs = [layer.digest for layer in get_manifest(store, model).layers if layer.role == GRAPH]
    record = profile(store)["xrays"].get(graphs[0]) if graphs else None
    return Known(record["threads"], tuple(map(_candidate, record["candidates"]))) if record else None


def _candidate(record: Mapping[str, Any]) -> Candidate:
    latencies = tuple(Latency(**one) for one in record["latencies"])
    return Candidate(**{**record, "latencies": latencies, "float_layers": tuple(record["float_layers"])})


def advice(store: Store, plan: Plan, model: Digest, catalogue: Catalogue) -> list[str]:
    """A line for each step of ``plan`` that an x-ray of ``model``'s architecture found not to pay here."""
    found = known(store, model)
    return list(_lines(plan, found.candidates, catalogue)) if found else []


def _lines(plan: Plan, candidates: Sequence[Candidate], catalogue: Catalogue) -> Iterator[str]:
    int8, narrow = _gains(candidates, 1.0, int8=True), _gains(candidates, 0.5, int8=False)
    for step in plan.steps:
        info = catalogue[step.uses]
        if info.produces == QUANTIZED and int8 and max(int8.values()) <= PAYS:
            yield f"{step.id}: int8 brings no speed to this model on this target ({_told(int8)}); it is for size only"
        if info.service == "pruner" and narrow and max(narrow.values()) <= PAYS:
            yield f"{step.id}: half the width brings no speed to this model on this target ({_told(narrow)})"


def _gains(candidates: Sequence[Candidate], width: float, int8: bool) -> dict[int, float]:
    """The gain at each batch of one candidate; empty where it was not measured."""
    found = next((c for c in candidates if (c.width, c.int8) == (width, int8)), None)
    return {one.batch: one.ratio for one in found.latencies} if found else {}


def _told(gains: Mapping[int, float]) -> str:
    return ", ".join(f"{ratio:.2f}× at batch {batch}" for batch, ratio in gains.items())
