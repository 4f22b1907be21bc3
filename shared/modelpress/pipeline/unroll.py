"""Blocks unrolled: ``repeat`` to rounds, ``matrix`` to branches, a pipeline by reference to its steps.

The copy of a block with the number n is called ``<id>[n]`` in references, and the ids of its steps begin with
``<id>-<n>-``; a single step that is unrolled becomes ``<id>-<n>``. A block that stands once adds ``<id>-``.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from modelpress.errors import InputError, Violation
from modelpress.pipeline.entries import StepSpec
from modelpress.pipeline.faults import Faults
from modelpress.pipeline.library import Library
from modelpress.pipeline.parameters import UNKNOWN, Variables, bind
from modelpress.pipeline.reader import shown
from modelpress.pipeline.spec import PipelineSpec
from modelpress.pipeline.tree import Entry, Leaf, Scope

MAX_STEPS = 10_000
MAX_PIPELINES = 8
"""How deep pipelines may name each other."""
MAX_ID = 200
"""Characters of an unrolled id, which names the step's log file."""

ROUND = "round"
"""Stands for the number of the round inside a ``repeat``."""

_AXIS = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class _TooManyError(Exception):
    """Unrolling was given up."""


def unroll(spec: PipelineSpec, settings: Mapping[str, Any], faults: Faults) -> Scope:
    """The tree of ``spec`` with every mark filled; what is wrong goes to ``faults``.

    Raises:
        SpecError: it has more than `MAX_STEPS` steps, whose faults were not all looked for.
    """
    found: list[Violation] = []
    variables = bind(spec, settings, found)
    faults.add(spec, found)
    file = _filled_file(spec, variables, faults, "")
    root = Scope(file, outputs=file.outputs)
    unroller = _Unroller(faults)
    try:
        unroller.fill(root, spec.steps, variables)
    except _TooManyError:
        faults.check()
    unroller.tell_unused(spec, variables)
    return root


def _filled_file(spec: PipelineSpec, variables: Variables, faults: Faults, owner: str) -> PipelineSpec:
    found: list[Violation] = []
    filled = {name: variables.fill(value, f"inputs.{name}", found) for name, value in spec.inputs.items()}
    inputs = {name: None if value is UNKNOWN else value for name, value in filled.items()}
    outputs = variables.fill(spec.outputs, "outputs", found)
    faults.add(spec, found, owner)
    return dataclasses.replace(spec, inputs=inputs, outputs=outputs)


class _Unroller:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._library = Library()
        self._steps = 0
        self._complete = True
        """Whether every step was met: else a parameter without use may have its use in one that was not."""

    def tell_unused(self, file: PipelineSpec, variables: Variables) -> None:
        """Note parameters of ``file`` that no mark names."""
        if self._complete and not file.faults:
            declared = [f"parameters.{p.name}" for p in file.parameters]
            self._faults.add(file, variables.unused(declared, "where it belongs"))

    def fill(self, scope: Scope, entries: tuple[StepSpec, ...], variables: Variables) -> None:
        """Unroll ``entries`` into ``scope``."""
        for entry in entries:
            scope.entries.append(self._entry(scope, entry, variables))

    def _entry(self, scope: Scope, spec: StepSpec, variables: Variables) -> Entry:
        if spec.is_method and not spec.expands:
            step_id = scope.prefix + spec.id
            return Entry(spec, leaf=self._leaf(scope, self._filled(scope, spec, step_id, variables), step_id))
        entry, before = Entry(spec), self._steps
        choices = self._choices(scope, spec, variables)
        self._complete &= bool(choices)
        for number, values in enumerate(choices, 1):
            inner = variables.inside(values, f"{spec.path}.{'repeat' if spec.matrix is None else 'matrix'}")
            entry.copies.append(self._copy(scope, spec, number if spec.expands else 0, inner, values))
            if number == 1:
                self._foresee(scope, spec, len(choices), self._steps - before)
        if spec.matrix is not None and self._complete:
            unused = variables.unused([f"{spec.path}.matrix.{axis}" for axis in spec.matrix], "in a step of the block")
            self._faults.add(scope.file, unused)
        return entry

    def _copy(
        self, scope: Scope, spec: StepSpec, number: int, variables: Variables, values: Mapping[str, Any]
    ) -> Scope:
        label, name = (f"{spec.id}[{number}]", f"{spec.id}-{number}") if number else (spec.id, spec.id)
        step_id = scope.prefix + name
        filled = self._filled(scope, spec, step_id, variables)
        copy = Scope(scope.file, scope, filled, label, f"{step_id}-", values, filled.outputs)
        if spec.is_method:
            copy.leaf = self._leaf(copy, filled, step_id)
            copy.entries.append(Entry(filled, leaf=copy.leaf))
        elif spec.pipeline:
            self._fill_pipeline(copy, filled)
        else:
            self.fill(copy, spec.steps, variables)
        return copy

    def _leaf(self, scope: Scope, filled: StepSpec, step_id: str) -> Leaf:
        self._steps += 1
        if self._steps > MAX_STEPS:
            self._give_up(scope, filled.path, f"more than {MAX_STEPS:,} steps in all")
        if len(step_id) > MAX_ID:
            message = f"the step is called '{step_id[:40]}...', {len(step_id)} characters, longer than {MAX_ID}"
            self._faults.add(scope.file, [Violation(f"{filled.path}.id", message, "shorten the ids around it")])
        return Leaf(filled, step_id, scope)

    def _filled(self, scope: Scope, spec: StepSpec, owner: str, variables: Variables) -> StepSpec:
        found: list[Violation] = []

        def fill(value: Any, key: str) -> Any:
            new = variables.fill(value, f"{spec.path}.{key}", found) if value else value
            return None if new is UNKNOWN else new

        filled = dataclasses.replace(
            spec,
            pipeline=str(fill(spec.pipeline, "pipeline") or ""),
            inputs=fill(spec.inputs, "inputs"),
            params=fill(spec.params, "with"),
            gate=fill(spec.gate, "gate"),
            when=fill(spec.when, "when"),
            resources=fill(spec.resources, "resources"),
            timeout=fill(spec.timeout, "timeout"),
            outputs=fill(spec.outputs, "outputs"),
        )
        self._faults.add(scope.file, found, owner)
        return filled

    def _fill_pipeline(self, copy: Scope, spec: StepSpec) -> None:
        """Put the steps of the pipeline that ``spec`` names into ``copy``."""
        asker = copy.file
        file = self._named(copy, spec)
        if file is None:
            self._complete = False
            return
        found: list[Violation] = []
        variables = bind(file, spec.params, found, f"{spec.path}.with")
        self._faults.add(asker, found, copy.prefix)
        self._faults.add(file, file.faults, copy.prefix)
        copy.file = _filled_file(file, variables, self._faults, copy.prefix)
        copy.outputs = copy.file.outputs
        self.fill(copy, file.steps, variables)
        self.tell_unused(file, variables)

    def _named(self, copy: Scope, spec: StepSpec) -> PipelineSpec | None:
        """The pipeline that ``spec`` names; None, with a fault, where it cannot be had."""
        try:
            file = self._library.find(spec.pipeline, copy.file) if spec.pipeline else None
            if file:
                _check_nesting(copy, file)
            return file
        except InputError as e:
            self._faults.add(copy.file, [Violation(f"{spec.path}.pipeline", str(e), "a recipe, or ./file.yaml")])
            return None

    def _choices(self, scope: Scope, spec: StepSpec, variables: Variables) -> list[dict[str, Any]]:
        """What each copy's own marks stand for, one mapping a copy; none where that cannot be told."""
        found: list[Violation] = []
        if spec.repeat is not None:
            times = _times(variables.fill(spec.repeat.get("times"), f"{spec.path}.repeat.times", found), spec, found)
            choices: Iterator[dict[str, Any]] = ({ROUND: number} for number in range(1, times + 1))
        elif spec.matrix is not None:
            axes = _axes(variables.fill(spec.matrix, f"{spec.path}.matrix", found), spec, variables, found)
            times = math.prod(map(len, axes.values())) if axes else 0
            choices = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
        else:
            return [{}]
        self._faults.add(scope.file, found, scope.prefix)
        if times > MAX_STEPS:
            self._give_up(scope, spec.path, f"{times:,} copies of its steps, and so at least as many steps")
        return list(itertools.islice(choices, times))

    def _foresee(self, scope: Scope, spec: StepSpec, copies: int, steps: int) -> None:
        """Tell from the first copy's ``steps`` what all ``copies`` will come to."""
        if steps * copies > MAX_STEPS:
            self._give_up(scope, spec.path, f"{copies:,} times {steps:,} steps, {steps * copies:,} in all")

    def _give_up(self, scope: Scope, path: str, what: str) -> None:
        message = f"unrolls to {what}; a pipeline has at most {MAX_STEPS:,}"
        self._faults.add(scope.file, [Violation(path, message, "make it several pipelines")], f"{path} is too much")
        raise _TooManyError


def _check_nesting(copy: Scope, file: PipelineSpec) -> None:
    above = [scope.file.source for scope in copy.chain() if scope is not copy and scope.closed]
    if file.source in above:
        names = " in ".join([file.source, *above[: above.index(file.source) + 1]])
        raise InputError(f"'{file.source}' would be part of itself: {names}")
    if len(above) > MAX_PIPELINES:
        raise InputError(f"pipelines name each other more than {MAX_PIPELINES} deep")


def _times(value: Any, spec: StepSpec, found: list[Violation]) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if spec.repeat and "times" in spec.repeat and not found:
        message = f"must be a whole number from 1, got {shown(value)}"
        found.append(Violation(f"{spec.path}.repeat.times", message, "how many rounds"))
    return 0


def _axes(
    values: Mapping[str, Any], spec: StepSpec, variables: Variables, found: list[Violation]
) -> dict[str, list[Any]]:
    """Values by axis; none at all where one of them is faulty."""
    before = len(found)
    for axis, choices in values.items():
        path = f"{spec.path}.matrix.{axis}"
        if not _AXIS.fullmatch(axis):
            found.append(Violation(path, f"'{axis}' is no name", "letters, digits, '_' and '-', as in sparsity"))
        elif axis in variables.values:
            found.append(Violation(path, f"'{axis}' is taken by {variables.declared[axis]}", "choose another name"))
        if not isinstance(choices, list) or not choices:
            found.append(Violation(path, f"must be a list of values, got {shown(choices)}", "as in [0.3, 0.5]"))
    complete = len(found) == before and len(values) == len(spec.matrix or {})
    return {axis: list(choices) for axis, choices in values.items()} if complete else {}
