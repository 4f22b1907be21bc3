"""From a pipeline to a plan, or to every fault that keeps it from being one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from modelpress.catalogue import Catalogue, Kind, MethodInfo, MethodParams
from modelpress.errors import InputError, Violation, nearest
from modelpress.pipeline.entries import StepSpec
from modelpress.pipeline.faults import Faults
from modelpress.pipeline.gates import canonical_condition
from modelpress.pipeline.plan import Plan, PlannedStep, Source
from modelpress.pipeline.reader import INPUTS, shown
from modelpress.pipeline.requests import requests_of
from modelpress.pipeline.resolve import Resolver
from modelpress.pipeline.sources import ResolvedStep
from modelpress.pipeline.spec import PipelineSpec, spec_of
from modelpress.pipeline.unroll import unroll


def validate(
    pipeline: PipelineSpec | Mapping[str, Any],
    catalogue: Catalogue,
    inputs: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int | None = None,
    require_inputs: bool = True,
) -> Plan:
    """The plan of ``pipeline``, a spec or plain data of the same shape.

    ``inputs`` are references (tags or digests) that the run gives; they go before the file's own. ``settings`` are
    values of the pipeline's parameters, ``seed`` replaces the file's. Without ``require_inputs`` a pipeline is
    looked at before anything is chosen to run it on: inputs without a reference are empty text in the plan, which
    no engine can run.

    Raises:
        SpecError: it cannot work; carries every fault with its path, line and column where known, and a suggestion.
    """
    spec = pipeline if isinstance(pipeline, PipelineSpec) else spec_of(pipeline)
    faults = Faults(spec)
    faults.add(spec, spec.faults)
    root = unroll(spec, settings or {}, faults)
    references = _references(root.file, inputs or {}, require_inputs, faults)
    resolver = Resolver(root, catalogue, faults)
    steps = [_plan_step(step, catalogue, faults) for step in resolver.steps()]
    outputs = resolver.outputs()
    _check_kinds(spec, resolver.sources.steps.values(), faults)
    faults.check()
    return Plan(
        name=spec.name,
        inputs=references | resolver.brought,
        steps=tuple(step for step in steps if step),
        outputs=outputs,
        seed=spec.seed if seed is None else seed,
    )


def input_kinds(plan: Plan, catalogue: Catalogue) -> dict[str, frozenset[Kind]]:
    """What each input of ``plan`` may be, by the ports that read it; every kind for one that no step reads.

    A caller that has resolved the references compares these with the artifacts' own kinds before it submits.
    """
    return _kinds_read(plan.inputs, [(catalogue[step.uses], step.inputs) for step in plan.steps])


def _references(spec: PipelineSpec, given: Mapping[str, str], require_all: bool, faults: Faults) -> dict[str, str]:
    """References by declared input; the empty text where there is none."""
    found: list[Violation] = []
    for name in given:
        if name not in spec.inputs:
            found.append(Violation(f"inputs.{name}", f"the pipeline has no input '{name}'", nearest(name, spec.inputs)))
    references = {}
    for name, written in spec.inputs.items():
        reference = given.get(name) or written
        references[name] = reference if isinstance(reference, str) else ""
        if reference is not None and not isinstance(reference, str):
            message = f"{shown(reference)} is no reference"
            found.append(Violation(f"inputs.{name}", message, "a tag or digest as text; put it in quotes"))
        elif not reference and require_all:
            found.append(Violation(f"inputs.{name}", "has no reference", "write one here, or give one to the run"))
    faults.add(spec, found, "references")
    return references


def _plan_step(step: ResolvedStep, catalogue: Catalogue, faults: Faults) -> PlannedStep | None:
    """The planned step; None for an unknown method."""
    spec, info, found = step.leaf.spec, step.info, list[Violation]()
    if info is None and spec.uses:
        hint = nearest(spec.uses, catalogue.names())
        found.append(Violation(f"{spec.path}.uses", f"there is no method '{spec.uses}'", hint))
    planned = _planned(step, info, found) if info else None
    faults.add(step.leaf.scope.file, found, step.leaf.id)
    return planned


def _planned(step: ResolvedStep, info: MethodInfo, found: list[Violation]) -> PlannedStep:
    spec = step.leaf.spec
    return PlannedStep(
        id=step.leaf.id,
        uses=info.name,
        version=info.version,
        params=_params(info.params, spec.params, f"{spec.path}.with", found),
        inputs={port: _source(sources, info.inputs[port].many) for port, sources in step.inputs.items()},
        outputs=tuple(info.outputs),
        gate=_gate(info, spec, found),
        when=dict(step.when),
        alone=not info.pure,
        resolved=step.filled,
        given=tuple(sorted(spec.params)),
        **requests_of(spec, found),
    )


def _source(sources: tuple[str, ...], many: bool) -> Source:
    return sources if many else sources[0]


def _params(model: type[MethodParams], given: Mapping[str, Any], path: str, faults: list[Violation]) -> dict[str, Any]:
    """Canonical parameters, defaults filled: what JSON can carry, each of its field's own type."""
    try:
        params: dict[str, Any] = model.model_validate(given).model_dump(mode="json")
    except ValidationError as e:
        faults += [_params_fault(model, error, path) for error in e.errors(include_url=False)]
        return {}
    faults += _not_finite(params, path)
    for name, value in given.items():
        if isinstance(value, bool) and not isinstance(params[name], bool):
            faults.append(Violation(f"{path}.{name}", f"must be no truth value, got {str(value).lower()}"))
    return params


def _params_fault(model: type[MethodParams], error: ErrorDetails, path: str) -> Violation:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    name = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return Violation(path + where, f"there is no parameter '{name}'", nearest(name, model.model_fields))
    field = model.model_fields.get(str(error["loc"][0])) if error["loc"] else None
    meaning = (field.description or "") if field else ""
    if error["type"] == "missing":
        return Violation(path + where, "is missing", meaning)
    return Violation(path + where, f"{error['msg']}, got {shown(error['input'])}", meaning)


def _not_finite(value: Any, path: str) -> Iterator[Violation]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _not_finite(entry, f"{path}.{key}")
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _not_finite(entry, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Violation(path, f"must be a finite number, got {value}")


def _gate(info: MethodInfo, step: StepSpec, faults: list[Violation]) -> dict[str, str]:
    """Conditions in their canonical spelling, by metric."""
    gate = {}
    for metric, value in step.gate.items():
        path = f"{step.path}.gate.{metric}"
        if metric not in info.metrics:
            faults.append(Violation(path, f"{info.name} reports no '{metric}'", nearest(metric, info.metrics)))
        try:
            gate[metric] = canonical_condition(value)
        except InputError as e:
            faults.append(Violation(path, str(e), "as in '<= 0.5'"))
    return gate


def _check_kinds(spec: PipelineSpec, steps: Iterable[ResolvedStep], faults: Faults) -> None:
    """Note inputs that are read as different kinds of artifact."""
    readers = [(step.info, step.inputs) for step in steps if step.info]
    for name, kinds in _kinds_read(spec.inputs, readers).items():
        if not kinds:
            message = "is read as different kinds of artifact"
            faults.add(spec, [Violation(f"inputs.{name}", message, "make it two inputs")], "kinds")


def _kinds_read(
    names: Iterable[str], readers: Iterable[tuple[MethodInfo, Mapping[str, Source]]]
) -> dict[str, frozenset[Kind]]:
    """By input of the pipeline, the kinds that all ports which read it take."""
    kinds = {f"{INPUTS}.{name}": frozenset(Kind) for name in names}
    for info, inputs in readers:
        for port, sources in inputs.items():
            for source in (sources,) if isinstance(sources, str) else sources:
                if source in kinds:
                    kinds[source] &= info.inputs[port].kinds
    return {source.removeprefix(f"{INPUTS}."): taken for source, taken in kinds.items()}
