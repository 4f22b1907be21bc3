"""From a pipeline to a plan, or to every fault that keeps it from being one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from modelpress.catalogue import Catalogue, Kind, MethodInfo, MethodParams
from modelpress.errors import InputError, SpecError, Violation, nearest
from modelpress.pipeline.gates import parse_condition
from modelpress.pipeline.parameters import apply_parameters
from modelpress.pipeline.plan import Plan, PlannedStep
from modelpress.pipeline.resolve import Resolver
from modelpress.pipeline.spec import INPUTS, PipelineSpec, StepSpec, shown, spec_of


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
        SpecError: it cannot work; carries every fault with its path, its line where known, and a suggestion.
    """
    spec = pipeline if isinstance(pipeline, PipelineSpec) else spec_of(pipeline)
    faults = list(spec.faults)
    spec = apply_parameters(spec, settings or {}, faults)
    references = _references(spec, inputs or {}, require_inputs, faults)
    resolver = Resolver(references, spec.steps, faults)
    steps = [_plan_step(resolver, catalogue, step, faults) for step in spec.steps]
    _check_inputs(resolver, faults)
    outputs = [name for name, source in spec.outputs.items() if resolver.check_reference(source, f"outputs.{name}")]
    if faults:
        raise SpecError(_located(faults, spec.lines), spec.source)
    return Plan(
        name=spec.name,
        inputs=references,
        steps=tuple(step for step in steps if step),
        outputs={name: spec.outputs[name] for name in outputs},
        seed=spec.seed if seed is None else seed,
    )


def input_kinds(plan: Plan, catalogue: Catalogue) -> dict[str, frozenset[Kind]]:
    """What each input of ``plan`` may be, by the ports that read it; every kind for one that no step reads.

    A caller that has resolved the references compares these with the artifacts' own kinds before it submits.
    """
    return _kinds_read(plan.inputs, [(catalogue[step.uses], step.inputs) for step in plan.steps])


def _references(
    spec: PipelineSpec, given: Mapping[str, str], require_all: bool, faults: list[Violation]
) -> dict[str, str]:
    """References by declared input; the empty text where there is none."""
    for name in given:
        if name not in spec.inputs:
            faults.append(
                Violation(f"inputs.{name}", f"the pipeline has no input '{name}'", nearest(name, spec.inputs))
            )
    references = {}
    for name, written in spec.inputs.items():
        reference = given.get(name) or written
        references[name] = reference if isinstance(reference, str) else ""
        if reference is not None and not isinstance(reference, str):
            message = f"{shown(reference)} is no reference"
            faults.append(Violation(f"inputs.{name}", message, "a tag or digest as text; put it in quotes"))
        elif not reference and require_all:
            faults.append(Violation(f"inputs.{name}", "has no reference", "write one here, or give one to the run"))
    return references


def _plan_step(resolver: Resolver, catalogue: Catalogue, step: StepSpec, faults: list[Violation]) -> PlannedStep | None:
    """The planned step; None for an unknown method."""
    info = catalogue.get(step.uses)
    if info is None and step.uses:
        hint = nearest(step.uses, catalogue.names())
        faults.append(Violation(f"{step.path}.uses", f"there is no method '{step.uses}'", hint))
    resolved = resolver.add(step, info)
    if info is None:
        return None
    return PlannedStep(
        id=step.id,
        uses=info.name,
        version=info.version,
        params=_params(info.params, step.params, f"{step.path}.with", faults),
        inputs=dict(resolved.inputs),
        outputs=tuple(info.outputs),
        gate=_gate(info, step, faults),
        resolved=resolved.filled,
        given=tuple(sorted(step.params)),
    )


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
    for metric, text in step.gate.items():
        path = f"{step.path}.gate.{metric}"
        if metric not in info.metrics:
            faults.append(Violation(path, f"{info.name} reports no '{metric}'", nearest(metric, info.metrics)))
        try:
            gate[metric] = str(parse_condition(text if isinstance(text, str) else repr(text)))
        except InputError as e:
            faults.append(Violation(path, str(e), "as in '<= 0.5'"))
    return gate


def _check_inputs(resolver: Resolver, faults: list[Violation]) -> None:
    for name, steps in resolver.undeclared.items():
        readers = ", ".join(f"'{step}'" for step in steps)
        faults.append(Violation(f"inputs.{name}", f"is missing, and {readers} would read it", f"declare '{name}' here"))
    readers_of = [(step.info, step.inputs) for step in resolver.done.values() if step.info]
    for name, kinds in _kinds_read(resolver.declared, readers_of).items():
        if not kinds:
            faults.append(Violation(f"inputs.{name}", "is read as different kinds of artifact", "make it two inputs"))


def _kinds_read(
    names: Iterable[str], readers: Iterable[tuple[MethodInfo, Mapping[str, str]]]
) -> dict[str, frozenset[Kind]]:
    """By input of the pipeline, the kinds that all ports which read it take."""
    kinds = {f"{INPUTS}.{name}": frozenset(Kind) for name in names}
    for info, sources in readers:
        for port, source in sources.items():
            if source in kinds:
                kinds[source] &= info.inputs[port].kinds
    return {source.partition(".")[2]: taken for source, taken in kinds.items()}


def _located(faults: list[Violation], lines: Mapping[str, int]) -> list[Violation]:
    """``faults`` with their lines, in the order of the file."""
    located = [fault if fault.line else dataclasses.replace(fault, line=_line(fault.path, lines)) for fault in faults]
    return sorted(located, key=lambda fault: fault.line)


def _line(path: str, lines: Mapping[str, int]) -> int:
    """The line of ``path``, or of the closest part of the file that contains it; 0 for what the file lacks."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines[path] if path else 0
