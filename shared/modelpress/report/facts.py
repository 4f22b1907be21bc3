"""Everything that a report of a run needs, gathered from the run's record, the store and the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import Manifest, get_manifest
from modelpress.artifacts.store import Store
from modelpress.catalogue import Catalogue, Kind, MethodInfo
from modelpress.engine.events import StepProgressed
from modelpress.engine.state import RunState
from modelpress.errors import NotFoundError, StoreError
from modelpress.report.evidence import Candidate, candidates, lineage


@dataclass(frozen=True)
class Facts:
    """A run with the manifests of what it read and made, the descriptions of its methods, and its candidates.

    ``names`` are tags by the digest that they stand for; ``progress`` is what steps said while this run computed them;
    ``missing`` are digests whose artifacts are no longer in the store, or corrupt.
    """

    run: RunState
    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    methods: Mapping[str, MethodInfo] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    progress: tuple[StepProgressed, ...] = ()
    missing: tuple[str, ...] = ()

    def input_name(self, name: str) -> str:
        """What an input is called: the reference that the run was given, or the tag of its digest."""
        reference = self.run.plan.inputs[name]
        return self.names.get(reference, reference) if reference.startswith("sha256:") else reference

    def meaning(self, method: str, metric: str) -> str:
        """Unit and meaning of a metric, as its method describes it; empty for a method that is not installed."""
        info = self.methods.get(method)
        return info.metrics.get(metric, "") if info else ""


def gather(run: RunState, store: Store, catalogue: Catalogue, progress: Iterable[StepProgressed] = ()) -> Facts:
    """Read what the report of ``run`` needs."""
    manifests: dict[str, Manifest] = {}
    missing: list[str] = []
    for digest in dict.fromkeys(_digests(run)):
        try:
            manifests[digest] = get_manifest(store, Digest(digest))
        except (NotFoundError, StoreError):
            missing.append(digest)
    methods = {step.uses: catalogue[step.uses] for step in run.plan.steps if step.uses in catalogue}
    measured = tuple(_with_sizes(run, manifests, c) for c in candidates(run))
    names = {str(store.tags.get(name)): name for name in store.tags.names()}
    return Facts(run, manifests, methods, measured, names, tuple(progress), tuple(missing))


def _digests(run: RunState) -> Iterator[str]:
    yield from run.inputs.values()
    for step in run.steps.values():
        yield from step.outputs.values()


def _with_sizes(run: RunState, manifests: Mapping[str, Manifest], candidate: Candidate) -> Candidate:
    """File size and parameter count from manifests, where no metric tells them."""
    found: dict[str, float] = {}
    package = manifests.get(candidate.digest)
    if package and package.kind is Kind.PACKAGE:
        found["size_bytes"] = sum(layer.size_bytes for layer in package.layers)
    model = manifests.get(model_digest(run, candidate))
    if model and "parameters" in model.config:
        found["parameters"] = model.config["parameters"]
    return replace(candidate, figures={**found, **candidate.figures})


def model_digest(run: RunState, candidate: Candidate) -> str:
    """The model that a candidate's package was made of (or the model itself); empty when it was never made."""
    node, _, output = candidate.source.partition(".")
    if node == "inputs":
        return run.inputs.get(output, "")
    for step in reversed(lineage(run.plan, candidate.source)):
        made = run.steps[step.id].outputs if step.id in run.steps else {}
        if "model" in made:
            return made["model"]
        source = step.source("student") or step.source("model")
        if source.startswith("inputs."):
            return run.inputs.get(source.removeprefix("inputs."), "")
    return ""
