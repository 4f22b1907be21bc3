"""What an artifact is made of, as ``show`` and ``compare`` tell it; read from manifests and files, without torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import Manifest, get_manifest, read_layer
from modelpress.artifacts.report import get_report
from modelpress.artifacts.store import Store
from modelpress.catalogue import Form, Kind
from modelpress.client.lineage import ancestry
from modelpress.client.refs import Ref
from modelpress.engine.state import RunState
from modelpress.report.evidence import MEASURING, Candidate, candidates
from modelpress.report.layers import Layer, layers_of
from modelpress.xray.targets import Known, known

TENSORS = "tensors.safetensors"
_MASK = re.compile(r"(.+)\.parametrizations\.(\w+)\.\d+\.keep")
_RELATIVE = re.compile(r"ratio|_points$|^reference_")


@dataclass(frozen=True)
class Measured:
    """Figures that a run measured; what is relative to that run's reference is left out."""

    run_id: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Contents:
    """An artifact's parts. ``totals`` has what is known of ``size_bytes``, ``parameters``, ``macs`` (multiply-
    accumulates of one sample), ``weight_bytes`` and ``activation_bytes``; ``operators`` counts those of a package by
    type; ``facts`` is JSON that its maker wrote, of a report all of it. ``xrayed`` is what an x-ray on this machine
    found of a model's architecture.
    """

    kind: Kind
    digest: str
    name: str
    form: str
    inputs: tuple[str, ...]
    totals: Mapping[str, float]
    layers: tuple[Layer, ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    measured: Measured | None = None
    xrayed: Known | None = None

    def as_record(self) -> dict[str, Any]:
        """As JSON, with each layer's ``weight_bytes``."""
        layers = [asdict(x) | {"shape": list(x.shape), "weight_bytes": x.weight_bytes} for x in self.layers]
        return asdict(self) | {"kind": str(self.kind), "inputs": list(self.inputs), "layers": layers}


def contents(ref: Ref, runs: Sequence[RunState]) -> Contents:
    """What ``ref`` is made of; ``runs`` (the newest first) tell what was measured, and of what a package was made.

    Raises:
        NotFoundError, CorruptBlobError: it is gone, or was damaged.
    """
    manifest = ref.manifest()
    size = {"size_bytes": float(sum(layer.size_bytes for layer in manifest.layers))}
    read = {Kind.MODEL: _model, Kind.PACKAGE: _package, Kind.REPORT: _report}.get(manifest.kind)
    parts = read(ref, manifest, runs) if read else {}
    return Contents(
        kind=manifest.kind,
        digest=ref.digest,
        name=ref.name,
        form=str(manifest.config.get("form", "")),
        inputs=_inputs(manifest),
        totals=size | parts.pop("totals", {}),
        measured=measured(runs, ref.digest),
        xrayed=known(ref.store, Digest(ref.digest)) if manifest.kind is Kind.MODEL else None,
        **parts,
    )


def _model(ref: Ref, manifest: Manifest, runs: Sequence[RunState]) -> dict[str, Any]:
    layers = model_layers(ref.store, manifest)
    totals = {
        "parameters": manifest.config.get("parameters"),
        "macs": _sum(x.macs for x in layers),
        "weight_bytes": _sum(x.weight_bytes for x in layers),
        "activation_bytes": _sum(x.activation_bytes for x in layers),
    }
    return {"layers": layers, "totals": _known(totals), "facts": manifest.config.get("facts") or {}}


def model_layers(store: Store, manifest: Manifest) -> tuple[Layer, ...]:
    """The layers of a model; only one that is under constraints has its tensors read, for the masks."""
    constrained = manifest.config.get("form") == Form.CONSTRAINED
    return layers_of(manifest.config, sparsities(read_layer(store, manifest, TENSORS)) if constrained else None)


def sparsities(tensors: bytes) -> dict[str, float]:
    """The share that each mask takes, by the path of its layer (of the parameter, where it is no layer's weight)."""
    from safetensors import deserialize

    found = {}
    for name, tensor in deserialize(tensors):  # type: ignore[no-untyped-call]
        match = _MASK.fullmatch(name)
        if match:
            owner, weight = match.groups()
            keep = bytes(tensor["data"])
            found[owner if weight == "weight" else f"{owner}.{weight}"] = keep.count(0) / max(1, len(keep))
    return found


def _package(ref: Ref, manifest: Manifest, runs: Sequence[RunState]) -> dict[str, Any]:
    facts = dict(manifest.config.get("facts", {}))
    data = read_layer(ref.store, manifest, f"package.{manifest.config['format']}")
    operators = onnx_operators(data) if manifest.config["format"] == "onnx" else {}
    totals = _known({"parameters": facts.get("parameters"), "macs": facts.get("macs")})
    layers = _layers_of_package(ref, runs)
    return {"facts": facts, "operators": operators, "totals": totals, "layers": layers}


def onnx_operators(data: bytes) -> dict[str, int]:
    """How often an ONNX file calls each operator, the most frequent first."""
    import onnx

    return dict(Counter(node.op_type for node in onnx.load_model_from_string(data).graph.node).most_common())


def _layers_of_package(ref: Ref, runs: Sequence[RunState]) -> tuple[Layer, ...]:
    """Those of the model that it was made of, where a run of this home made it and the model is still there."""
    made = ancestry(runs, ref.digest)
    model = Digest(made[0].inputs.get("model", "")) if made else ""
    if not model or ref.store.blobs.size(Digest(model)) is None:
        return ()
    return model_layers(ref.store, get_manifest(ref.store, Digest(model)))


def _report(ref: Ref, manifest: Manifest, runs: Sequence[RunState]) -> dict[str, Any]:
    return {"facts": get_report(ref.store, Digest(ref.digest))}


def _inputs(manifest: Manifest) -> tuple[str, ...]:
    """``x float32 batch×3×224×224``, of a model or a package."""
    facts = manifest.config.get("facts", {}) if manifest.kind is Kind.PACKAGE else manifest.config
    rows = facts.get("inputs", []) if manifest.kind in (Kind.MODEL, Kind.PACKAGE) else []
    return tuple(f"{row['name']} {row['dtype']} {'×'.join(map(str, row['shape']))}" for row in rows)


def _known(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}


def _sum(figures: Iterable[float | None]) -> float | None:
    """The sum; None where one is unknown."""
    found = list(figures)
    return None if None in found else sum(f for f in found if f is not None)


def measured(runs: Iterable[RunState], digest: str) -> Measured | None:
    """What the first of ``runs`` that measured ``digest`` found."""
    for run in runs:
        for candidate in measured_candidates(run):
            if candidate.digest == digest:
                own = {n: v for n, v in candidate.figures.items() if not _RELATIVE.search(n) and n != "size_bytes"}
                return Measured(run.run_id, own)
    return None


def measured_candidates(run: RunState) -> list[Candidate]:
    """The candidates of a run that measured any."""
    return candidates(run) if any(step.service in MEASURING for step in run.plan.steps) else []
