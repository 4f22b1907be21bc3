"""What references name: sources for inputs and outputs, metrics of earlier steps for conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelpress.errors import InputError, nearest
from modelpress.pipeline.faults import Faults
from modelpress.pipeline.gates import canonical_condition
from modelpress.pipeline.reader import INPUTS, shown
from modelpress.pipeline.references import UnresolvedError, find, parse_reference
from modelpress.pipeline.sources import Sources
from modelpress.pipeline.tree import Leaf, Scope

Found = tuple[str, ...] | None
"""Sources; None where they are faulty or cannot be told, about which nothing more is to be said."""


class Lookup:
    """``aliases`` are what inputs of pipelines by reference stand for, ``outputs`` what finished blocks declare."""

    def __init__(self, sources: Sources, faults: Faults) -> None:
        self.aliases: dict[Scope, dict[str, Found]] = {}
        self.outputs: dict[Scope, dict[str, Found]] = {}
        self._sources = sources
        self._faults = faults

    def given(self, scope: Scope, value: Any, path: str, leaf: Leaf | None = None) -> Found:
        """What ``value``, a reference or a list of them that stands at ``path`` in ``scope``, names."""
        if not isinstance(value, list):
            return self.one(scope, value, path, leaf)
        if not value:
            self._faults.tell(scope, path, "is an empty list", "name what is to be read", leaf)
            return None
        return _joined([self.one(scope, entry, f"{path}[{index}]", leaf) for index, entry in enumerate(value)])

    def one(self, scope: Scope, value: Any, path: str, leaf: Leaf | None = None) -> Found:
        """What the reference ``value`` names: several sources where it is a matrix."""
        reference = parse_reference(value) if isinstance(value, str) else None
        try:
            if reference is None:
                raise UnresolvedError(
                    f"{shown(value)} is no reference", "expected 'inputs.<name>' or '<step>.<output>'"
                )
            if reference.head == INPUTS:
                return self._input(scope, reference.last)
            nodes = find(reference, scope, leaf)
            return _joined([self._output(node, reference.last) for node in nodes]) if nodes else None
        except UnresolvedError as e:
            self._faults.tell(scope, path, str(e), e.suggestion, leaf)
            return None

    def input_of(self, scope: Scope, name: str) -> Found:
        """What the input ``name``, which the pipeline of ``scope`` declares, stands for."""
        root = scope.root
        return self.aliases[root][name] if root.parent else (f"{INPUTS}.{name}",)

    def tell_several(
        self, scope: Scope, value: Any, found: tuple[str, ...], path: str, who: str, leaf: Leaf | None
    ) -> None:
        """Note that ``value`` names several sources where ``who`` takes one."""
        message = f"{shown(value)} is {len(found)} branches, {who} takes one: {self._sources.names(found, scope, ', ')}"
        self._faults.tell(scope, path, message, "name the one that is meant", leaf)

    def conditions(
        self, scope: Scope, path: str, when: Mapping[str, Any], around: Mapping[str, str], leaf: Leaf | None = None
    ) -> dict[str, str]:
        """``when``, as written in ``scope`` by the entry at ``path``, by metric of a step of the plan.

        ``around`` are the conditions of the block around it.
        """
        conditions = {}
        for key, value in when.items():
            place = f"{path}.when.{key}"
            metric = self._metric(scope, key, place, leaf)
            try:
                condition = canonical_condition(value)
            except InputError as e:
                self._faults.tell(scope, place, str(e), "as in '<= 0.5'", leaf)
                continue
            if metric and around.get(metric, condition) != condition:
                message = f"the block around it has another condition on it: {around[metric]}"
                self._faults.tell(scope, place, message, "keep one of them", leaf)
            elif metric:
                conditions[metric] = condition
        return conditions

    def _input(self, scope: Scope, name: str) -> Found:
        declared = scope.root.file.inputs
        if name not in declared:
            raise UnresolvedError(f"the pipeline has no input '{name}'", nearest(name, declared))
        return self.input_of(scope, name)

    def _output(self, node: Leaf | Scope, name: str) -> Found:
        if isinstance(node, Scope):
            outputs = self.outputs[node]
            if name not in outputs:
                hint = f"expected '{node.label}.<step>.{name}', or one of its outputs: {', '.join(outputs) or 'none'}"
                raise UnresolvedError(f"'{node.label}' has no output '{name}'", hint)
            return outputs[name]
        info = self._sources.steps[node.id].info
        if info is None:
            return None
        if name not in info.outputs:
            raise UnresolvedError(f"step '{node.spec.id}' has no output '{name}'", nearest(name, info.outputs))
        return (f"{node.id}.{name}",)

    def _metric(self, scope: Scope, key: str, path: str, leaf: Leaf | None) -> str:
        """The metric ``<step>.<name>`` that ``key`` names; empty where there is none, or it cannot be told."""
        reference = parse_reference(key)
        try:
            if reference is None or reference.head == INPUTS:
                raise UnresolvedError(f"'{key}' names no metric", "expected '<step>.<metric>' of an earlier step")
            nodes = find(reference, scope, leaf)
            if len(nodes) > 1:
                raise UnresolvedError(f"'{key}' is that of {len(nodes)} branches", "name the one that is meant")
            return self._metric_of(nodes[0], reference.last) if nodes else ""
        except UnresolvedError as e:
            self._faults.tell(scope, path, str(e), e.suggestion, leaf)
            return ""

    def _metric_of(self, node: Leaf | Scope, name: str) -> str:
        if isinstance(node, Scope):
            raise UnresolvedError(f"'{node.label}' is a block", f"name a step in it: '{node.label}.<step>.{name}'")
        info = self._sources.steps[node.id].info
        if info is not None and name not in info.metrics:
            raise UnresolvedError(f"{info.name} reports no '{name}'", nearest(name, info.metrics))
        return f"{node.id}.{name}" if info else ""


def _joined(found: Iterable[Found]) -> Found:
    """All of them together; None where one cannot be told."""
    sources: list[str] = []
    for some in found:
        if some is None:
            return None
        sources += some
    return tuple(sources)
