"""Which artifact each step reads: references looked up, omitted inputs filled, kinds and forms compared.

An omitted ``model`` or ``student`` is the newest model: the output of the nearest earlier step that produces one, or
``inputs.model`` where none does. A model is superseded once an earlier step made another model out of it; two that
were not superseded stand in parallel branches, and the pipeline must say which. An omitted ``package`` is found
alike, ``data`` is ``inputs.data``, ``teacher`` and ``reference`` are ``inputs.model``. A port without a default, or
whose default is of a kind that it does not take, must be given unless it is optional.

In a block the newest is looked for in this round or branch, then in the round before, then around the block. From
outside, a repeated block is its last round, a matrix all its branches. A pipeline by reference sees its inputs only,
which are filled alike; what comes after it sees its declared outputs only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelpress.catalogue import Catalogue, Form, Kind, MethodInfo, Port
from modelpress.errors import InputError, Violation, nearest
from modelpress.pipeline.faults import Faults
from modelpress.pipeline.gates import canonical_condition
from modelpress.pipeline.newest import Newest
from modelpress.pipeline.reader import INPUTS, shown
from modelpress.pipeline.references import UnresolvedError, find, parse_reference
from modelpress.pipeline.sources import INPUT_KINDS, ResolvedStep, Sources
from modelpress.pipeline.tree import Entry, Leaf, Scope

_FROM_INPUTS = {"data": "data", "teacher": "model", "reference": "model", "model": "model", "student": "model"}
_NEWEST = {"model": Kind.MODEL, "student": Kind.MODEL, "package": Kind.PACKAGE}

Found = tuple[str, ...] | None
"""Sources; None where they are faulty or cannot be told, about which nothing more is to be said."""


class Resolver:
    """Resolves the steps below ``root`` in file order; every fault goes to ``faults``."""

    def __init__(self, root: Scope, catalogue: Catalogue, faults: Faults) -> None:
        self.sources = Sources({name: INPUT_KINDS.get(name) for name in root.file.inputs})
        self.given: dict[str, str] = {}
        """References that pipelines named by this one bring along, by the name of the plan's input."""
        self._root = root
        self._catalogue = catalogue
        self._faults = faults
        self._newest: dict[Scope, Newest] = {root: Newest()}
        self._before: dict[Scope, Newest] = {}
        """What the round before left."""
        self._when: dict[Scope, dict[str, str]] = {root: {}}
        self._aliases: dict[Scope, dict[str, Found]] = {}
        """What the inputs of a pipeline by reference stand for."""
        self._outputs: dict[Scope, dict[str, Found]] = {}
        self._undeclared: dict[Scope, dict[str, list[str]]] = {}
        """Inputs that defaults wanted and the pipeline lacks, each with the steps that wanted it."""
        self._blind = False
        """A step above has an unknown method or no id of its own: what omitted inputs stand for cannot be told."""
        self._loose = False
        """A step above has a faulty input: what it superseded cannot be told."""

    def steps(self) -> Iterator[ResolvedStep]:
        """Every step, resolved."""
        yield from self._walk(self._root)
        self._leave(self._root)

    def outputs(self) -> dict[str, str]:
        """The pipeline's outputs, once every step is resolved."""
        outputs = {}
        for name, found in self._outputs[self._root].items():
            if found is not None and len(found) == 1:
                outputs[name] = found[0]
            elif found:
                self._tell_branches(self._root, f"outputs.{name}", found, "an output")
        return outputs

    # Scopes

    def _walk(self, scope: Scope) -> Iterator[ResolvedStep]:
        for entry in scope.entries:
            if entry.leaf:
                yield self._add(entry.leaf, self._newest[scope])
            else:
                yield from self._walk_copies(entry, scope)
            self._see(entry, scope)

    def _walk_copies(self, entry: Entry, scope: Scope) -> Iterator[ResolvedStep]:
        left: list[Newest] = []
        for copy in entry.copies:
            rounds = entry.spec.repeat is not None
            if rounds and left:
                self._before[copy] = left[-1]
            self._enter(copy)
            yield from self._walk(copy)
            newest = self._leave(copy)
            if rounds and left:
                newest.spend_as(left[-1], Kind)
                left.pop()
            left.append(newest)
        self._blind |= not entry.copies
        for newest in left:
            self._newest[scope].absorb(newest)

    def _see(self, entry: Entry, scope: Scope) -> None:
        """From here on references may name ``entry``."""
        name = entry.spec.id
        if name and name not in scope.seen:
            scope.seen[name] = entry
            return
        if name:
            message = f"'{name}' is taken by {scope.seen[name].spec.path}"
            self._fault(scope, f"{entry.spec.path}.id", message, "choose another id")
        self._blind = True

    def _enter(self, copy: Scope) -> None:
        parent, spec = copy.parent, copy.spec
        assert parent is not None, "the root is not entered"
        assert spec is not None, "a copy has an entry"
        self._newest[copy] = Newest()
        self._when[copy] = dict(self._when[parent])
        if copy.leaf is None:
            self._when[copy] |= self._conditions(parent, spec.path, spec.when, self._when[parent])
        if copy.closed:
            self._aliases[copy] = self._bind_inputs(copy, parent)

    def _leave(self, scope: Scope) -> Newest:
        """Resolve what ``scope`` declares as outputs; what it leaves for omitted inputs."""
        path = "outputs" if scope.closed or scope.spec is None else f"{scope.spec.path}.outputs"
        outputs = {name: self._one(scope, value, f"{path}.{name}", None) for name, value in scope.outputs.items()}
        self._outputs[scope] = outputs
        for name, readers in self._undeclared.pop(scope, {}).items():
            listed = ", ".join(f"'{reader}'" for reader in readers)
            message = f"is missing, and {listed} would read it"
            self._fault(scope, f"{INPUTS}.{name}", message, f"declare '{name}' here")
        inner = self._newest[scope]
        return self._left(scope, outputs, inner) if outputs or scope.closed else inner

    def _left(self, scope: Scope, outputs: Mapping[str, Found], inner: Newest) -> Newest:
        """Of a kind that ``outputs`` name, those, the one called like the kind alone; else what a block made."""
        left = Newest()
        for kind in Kind:
            declared = {
                name: [s for s in found or () if self.sources.kind(s) is kind] for name, found in outputs.items()
            }
            every = [source for sources in declared.values() for source in sources]
            chosen = declared.get(kind) or [s for s in every if not inner.is_spent(kind, s)] or every
            if not chosen and not scope.closed:
                chosen = inner.of(kind)
            if chosen:
                left.spend_as(inner, [kind])
                left.add(kind, chosen)
        return left

    def _bind_inputs(self, copy: Scope, outer: Scope) -> dict[str, Found]:
        """What the inputs of the pipeline ``copy`` stand for in ``outer``."""
        spec = copy.spec
        assert spec is not None, "a pipeline by reference has an entry"
        for name in spec.inputs:
            if name not in copy.file.inputs:
                message = f"pipeline '{spec.pipeline}' has no input '{name}'"
                self._fault(outer, f"{spec.path}.inputs.{name}", message, nearest(name, copy.file.inputs))
        return {name: self._bind_input(copy, outer, name, own) for name, own in copy.file.inputs.items()}

    def _bind_input(self, copy: Scope, outer: Scope, name: str, own: Any) -> Found:
        spec = copy.spec
        assert spec is not None, "a pipeline by reference has an entry"
        path = f"{spec.path}.inputs.{name}"
        if name in spec.inputs:
            return self._of_kind(outer, self._given(outer, spec.inputs[name], path), INPUT_KINDS.get(name), path)
        if own is not None:
            return self._own_input(copy, name, own)
        newest = self._newest_or_input(outer, name, path)
        if newest == ():
            message = f"is not given, and pipeline '{spec.pipeline}' reads it"
            self._fault(outer, path, message, f"write '{name}: <reference>' here")
            return None
        return newest

    def _own_input(self, copy: Scope, name: str, own: Any) -> Found:
        """A reference that the named pipeline's file brings along, as an input of the plan."""
        if not isinstance(own, str):
            message = f"{shown(own)} is no reference"
            self._fault(copy, f"{INPUTS}.{name}", message, "a tag or digest as text; put it in quotes")
            return None
        full = copy.prefix + name
        self.given[full] = own
        self.sources.inputs[full] = INPUT_KINDS.get(name)
        return (f"{INPUTS}.{full}",)

    def _of_kind(self, scope: Scope, found: Found, kind: Kind | None, path: str) -> Found:
        for source in found or ():
            is_kind = self.sources.kind(source)
            if kind is not None and is_kind not in (None, kind):
                message = f"'{self.sources.name(source, scope)}' is a {is_kind}, this input is a {kind}"
                self._fault(scope, path, message, self.sources.offer(Port(kind), scope))
                return None
        return found

    # Steps

    def _add(self, leaf: Leaf, newest: Newest) -> ResolvedStep:
        """Resolve the next step."""
        info = self._catalogue.get(leaf.spec.uses)
        around = self._when[leaf.scope]
        when = around | self._conditions(leaf.scope, leaf.spec.path, leaf.spec.when, around, leaf)
        resolved = ResolvedStep(leaf, None, when=when) if info is None else self._resolve(leaf, info, when)
        if leaf.id in self.sources.steps and leaf.spec.id not in leaf.scope.seen:
            other = self.sources.steps[leaf.id].leaf.spec.path
            self._fault(
                leaf.scope, f"{leaf.spec.path}.id", f"unrolls to '{leaf.id}', as does {other}", "choose another"
            )
        self.sources.steps.setdefault(leaf.id, resolved)
        self._blind |= info is None
        if info is not None:
            self._loose |= bool(info.descends_from) and info.descends_from not in resolved.inputs
            _make(newest, leaf.id, info, resolved.inputs)
        return resolved

    def _resolve(self, leaf: Leaf, info: MethodInfo, when: Mapping[str, str]) -> ResolvedStep:
        for name in leaf.spec.inputs:
            if name not in info.inputs:
                path = f"{leaf.spec.path}.inputs.{name}"
                self._fault(leaf.scope, path, f"{info.name} has no input '{name}'", nearest(name, info.inputs), leaf)
        inputs, filled = {}, []
        for name, port in info.inputs.items():
            is_given = name in leaf.spec.inputs
            found = self._read(leaf, info, name, port) if is_given else self._default(leaf, info, name, port)
            if found and all(self._fits(leaf, info, name, source) for source in found):
                inputs[name] = found
                filled += [] if is_given else [name]
        return ResolvedStep(leaf, info, inputs, tuple(filled), self._form(info, inputs), when)

    def _read(self, leaf: Leaf, info: MethodInfo, name: str, port: Port) -> Found:
        """What the step says that the port reads."""
        path, value = f"{leaf.spec.path}.inputs.{name}", leaf.spec.inputs[name]
        found = self._given(leaf.scope, value, path, leaf)
        if found is None or port.many or (len(found) == 1 and not isinstance(value, list)):
            return found
        if isinstance(value, list):
            self._fault(leaf.scope, path, f"{info.name} takes one here, not a list", "write one reference", leaf)
        elif found:
            self._tell_branches(leaf.scope, path, found, info.name, leaf)
        return None

    def _default(self, leaf: Leaf, info: MethodInfo, name: str, port: Port) -> Found:
        """The source of an omitted port; None where there is none, with a fault unless the port is optional."""
        path = f"{leaf.spec.path}.inputs.{name}"
        found = self._newest_or_input(leaf.scope, name, path, port, leaf)
        if found == () and not port.optional:
            kinds = " or ".join(sorted(port.kinds))
            message = f"is not given, and {info.name} needs a {kinds}"
            self._fault(leaf.scope, path, message, self.sources.offer(port, leaf.scope), leaf)
        return found

    def _newest_or_input(
        self, scope: Scope, name: str, path: str, port: Port | None = None, leaf: Leaf | None = None
    ) -> Found:
        """What an omitted input called ``name`` stands for in ``scope``; empty where nothing does."""
        if name in _NEWEST:
            if self._blind:
                return None
            newest = self._newest_in(scope, _NEWEST[name])
            if len(newest) > 1 and not self._loose:
                self._tell_ambiguous(scope, path, newest, _NEWEST[name], leaf)
                return None
            if newest:
                return (newest[-1],) if port is None or _NEWEST[name] in port.kinds else ()
        wanted = _FROM_INPUTS.get(name, "")
        if not wanted or (port is not None and INPUT_KINDS[wanted] not in port.kinds):
            return ()
        return self._input(scope, wanted, port, leaf)

    def _input(self, scope: Scope, name: str, port: Port | None, leaf: Leaf | None) -> Found:
        """The pipeline's input called ``name``, where it has one."""
        root = scope.root
        if name in root.file.inputs:
            return self._aliases[root][name] if root.parent else (f"{INPUTS}.{name}",)
        if leaf is None:
            return ()
        if port is not None and not port.optional:
            self._undeclared.setdefault(root, {}).setdefault(name, []).append(leaf.spec.id or leaf.spec.path)
        return None

    def _newest_in(self, scope: Scope, kind: Kind) -> list[str]:
        for place in scope.visible():
            for newest in (self._newest[place], self._before.get(place)):
                if newest and (found := newest.of(kind)):
                    return found
        return []

    def _fits(self, leaf: Leaf, info: MethodInfo, name: str, source: str) -> bool:
        misfit = self.sources.misfit(info, info.inputs[name], source, leaf.scope)
        if misfit:
            self._fault(leaf.scope, f"{leaf.spec.path}.inputs.{name}", *misfit, leaf)
        return misfit is None

    def _form(self, info: MethodInfo, inputs: Mapping[str, tuple[str, ...]]) -> frozenset[Form]:
        """What the model output may be; the empty set where a faulty input leaves it open."""
        if len(info.produces) == 1 or not info.descends_from:
            return info.produces
        if info.descends_from not in inputs:
            return frozenset()
        form = frozenset[Form]().union(*(self.sources.form(source) for source in inputs[info.descends_from]))
        return info.produces & form or info.produces

    # References

    def _given(self, scope: Scope, value: Any, path: str, leaf: Leaf | None = None) -> Found:
        """The sources that ``value``, a reference or a list of them at ``path``, names."""
        if not isinstance(value, list):
            return self._one(scope, value, path, leaf)
        if not value:
            self._fault(scope, path, "is an empty list", "name what is to be read", leaf)
        found = [self._one(scope, entry, f"{path}[{index}]", leaf) for index, entry in enumerate(value)]
        complete = [sources for sources in found if sources is not None]
        return tuple(s for sources in complete for s in sources) if value and len(complete) == len(found) else None

    def _one(self, scope: Scope, value: Any, path: str, leaf: Leaf | None) -> Found:
        reference = parse_reference(value) if isinstance(value, str) else None
        try:
            if reference is None:
                raise UnresolvedError(
                    f"{shown(value)} is no reference", "expected 'inputs.<name>' or '<step>.<output>'"
                )
            if reference.head == INPUTS:
                return self._named_input(scope, reference.last)
            found = [self._output(node, reference.last) for node in find(reference, scope, leaf)]
        except UnresolvedError as e:
            self._fault(scope, path, str(e), e.suggestion, leaf)
            return None
        complete = [sources for sources in found if sources is not None]
        return tuple(s for sources in complete for s in sources) if found and len(complete) == len(found) else None

    def _named_input(self, scope: Scope, name: str) -> Found:
        root = scope.root
        if name not in root.file.inputs:
            raise UnresolvedError(f"the pipeline has no input '{name}'", nearest(name, root.file.inputs))
        return self._aliases[root].get(name) if root.parent else (f"{INPUTS}.{name}",)

    def _output(self, node: Leaf | Scope, name: str) -> Found:
        if isinstance(node, Scope):
            outputs = self._outputs[node]
            if name not in outputs:
                hint = f"expected '{node.label}.<step>.{name}', or one of its outputs: {', '.join(outputs) or 'none'}"
                raise UnresolvedError(f"'{node.label}' has no output '{name}'", hint)
            return outputs[name]
        info = self.sources.steps[node.id].info
        if info is None:
            return None
        if name not in info.outputs:
            raise UnresolvedError(f"step '{node.spec.id}' has no output '{name}'", nearest(name, info.outputs))
        return (f"{node.id}.{name}",)

    def _conditions(
        self, scope: Scope, path: str, when: Mapping[str, Any], around: Mapping[str, str], leaf: Leaf | None = None
    ) -> dict[str, str]:
        """``when``, as written in ``scope`` by the entry at ``path``, by metric of a step of the plan."""
        conditions = {}
        for key, value in when.items():
            place = f"{path}.when.{key}"
            metric = self._metric(scope, key, place, leaf)
            try:
                condition = canonical_condition(value)
            except InputError as e:
                self._fault(scope, place, str(e), "as in '<= 0.5'", leaf)
                continue
            if metric and around.get(metric, condition) != condition:
                message = f"the block around it has another condition on it: {around[metric]}"
                self._fault(scope, place, message, "keep one of them", leaf)
            elif metric:
                conditions[metric] = condition
        return conditions

    def _metric(self, scope: Scope, key: str, path: str, leaf: Leaf | None) -> str:
        """The metric ``<step>.<name>`` that ``key`` names; empty where there is none, or it cannot be told."""
        reference = parse_reference(key)
        try:
            if reference is None or reference.head == INPUTS:
                raise UnresolvedError(f"'{key}' names no metric", "expected '<step>.<metric>' of an earlier step")
            found = find(reference, scope, leaf)
            if len(found) > 1:
                raise UnresolvedError(
                    f"'{key}' is that of {len(found)} branches", "name one, as in 'sweep[1].check.top1'"
                )
            return self._metric_of(found[0], reference.last) if found else ""
        except UnresolvedError as e:
            self._fault(scope, path, str(e), e.suggestion, leaf)
            return ""

    def _metric_of(self, node: Leaf | Scope, name: str) -> str:
        if isinstance(node, Scope):
            raise UnresolvedError(f"'{node.label}' is a block", f"name a step in it: '{node.label}.<step>.{name}'")
        info = self.sources.steps[node.id].info
        if info is None:
            return ""
        if name not in info.metrics:
            raise UnresolvedError(f"{info.name} reports no '{name}'", nearest(name, info.metrics))
        return f"{node.id}.{name}"

    # Faults

    def _tell_ambiguous(self, scope: Scope, path: str, sources: list[str], kind: Kind, leaf: Leaf | None) -> None:
        message = f"{len(sources)} branches give a {kind}: {self.sources.names(sources, scope, ' or ')}"
        self._fault(scope, path, message, "name the one that is meant", leaf)

    def _tell_branches(
        self, scope: Scope, path: str, sources: tuple[str, ...], who: str, leaf: Leaf | None = None
    ) -> None:
        message = f"these are {len(sources)}, and {who} takes one: {self.sources.names(sources, scope, ', ')}"
        self._fault(scope, path, message, "name the one that is meant", leaf)

    def _fault(self, scope: Scope, path: str, message: str, suggestion: str, leaf: Leaf | None = None) -> None:
        owner = leaf.id if leaf else scope.prefix
        self._faults.add(scope.file, [Violation(path, message, suggestion)], owner)


def _make(newest: Newest, step_id: str, info: MethodInfo, inputs: Mapping[str, tuple[str, ...]]) -> None:
    """Note what a step made, and of what."""
    for kind in set(info.outputs.values()):
        ports = [port for port in info.inputs if _is_main(info, port, kind)]
        newest.spend(kind, (source for port in ports for source in inputs.get(port, ())))
        newest.add(kind, [f"{step_id}.{name}" for name, is_kind in info.outputs.items() if is_kind is kind])


def _is_main(info: MethodInfo, port: str, kind: Kind) -> bool:
    """Whether an output of this kind supersedes what ``port`` reads."""
    if kind is Kind.MODEL:
        return port == info.descends_from
    return port == str(kind) or (info.inputs[port].many and kind in info.inputs[port].kinds)
