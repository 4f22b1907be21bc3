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
from modelpress.errors import nearest
from modelpress.pipeline.defaults import Defaults
from modelpress.pipeline.entries import StepSpec
from modelpress.pipeline.faults import Faults
from modelpress.pipeline.lookup import Found, Lookup
from modelpress.pipeline.newest import Newest
from modelpress.pipeline.reader import INPUTS, shown
from modelpress.pipeline.sources import INPUT_KINDS, ResolvedStep, Sources
from modelpress.pipeline.tree import Entry, Leaf, Scope


class Resolver:
    """Resolves the steps below ``root`` in file order; every fault goes to ``faults``."""

    def __init__(self, root: Scope, catalogue: Catalogue, faults: Faults) -> None:
        self.sources = Sources({name: INPUT_KINDS.get(name) for name in root.file.inputs})
        self.brought: dict[str, str] = {}
        """References that pipelines named by this one bring along, by the name of the plan's input."""
        self._root = root
        self._catalogue = catalogue
        self._faults = faults
        self._lookup = Lookup(self.sources, faults)
        self._defaults = Defaults(root, self.sources, self._lookup, faults)
        self._when: dict[Scope, dict[str, str]] = {root: {}}
        """Conditions on everything in a scope."""

    def steps(self) -> Iterator[ResolvedStep]:
        """Every step, resolved."""
        yield from self._walk(self._root)
        self._leave(self._root)

    def outputs(self) -> dict[str, str]:
        """The pipeline's outputs, once every step is resolved."""
        outputs = {}
        for name, found in self._lookup.outputs[self._root].items():
            if found and len(found) == 1:
                outputs[name] = found[0]
            elif found:
                value, path = self._root.outputs[name], f"outputs.{name}"
                self._lookup.tell_several(self._root, value, found, path, "an output", None)
        return outputs

    def _walk(self, scope: Scope) -> Iterator[ResolvedStep]:
        for entry in scope.entries:
            if entry.leaf:
                yield self._add(entry.leaf)
            else:
                yield from self._walk_copies(entry, scope)
            self._see(entry, scope)

    def _walk_copies(self, entry: Entry, scope: Scope) -> Iterator[ResolvedStep]:
        left: list[Newest] = []
        for copy in entry.copies:
            before = left.pop() if entry.spec.repeat is not None and left else None
            self._enter(copy, scope, before)
            yield from self._walk(copy)
            newest = self._leave(copy)
            if before:
                newest.spend_as(before, Kind)
            left.append(newest)
        self._defaults.blind |= not entry.copies
        for newest in left:
            self._defaults.absorb(scope, newest)

    def _see(self, entry: Entry, scope: Scope) -> None:
        """From here on references may name ``entry``."""
        name = entry.spec.id
        if name and name not in scope.seen:
            scope.seen[name] = entry
            return
        if name:
            message = f"'{name}' is taken by {scope.seen[name].spec.path}"
            self._faults.tell(scope, f"{entry.spec.path}.id", message, "choose another id")
        self._defaults.blind = True

    def _enter(self, copy: Scope, outer: Scope, before: Newest | None) -> None:
        self._defaults.enter(copy, before)
        self._when[copy] = dict(self._when[outer])
        if copy.spec and copy.leaf is None:
            self._when[copy] |= self._lookup.conditions(outer, copy.spec.path, copy.spec.when, self._when[outer])
        if copy.spec and copy.closed:
            self._lookup.aliases[copy] = self._bind_inputs(copy, copy.spec, outer)

    def _leave(self, scope: Scope) -> Newest:
        path = "outputs" if scope.closed or scope.spec is None else f"{scope.spec.path}.outputs"
        outputs = {name: self._lookup.one(scope, value, f"{path}.{name}") for name, value in scope.outputs.items()}
        self._lookup.outputs[scope] = outputs
        return self._defaults.leave(scope)

    def _bind_inputs(self, copy: Scope, spec: StepSpec, outer: Scope) -> dict[str, Found]:
        """What the inputs of the pipeline that ``spec`` names stand for in ``outer``."""
        for name in spec.inputs:
            if name not in copy.file.inputs:
                message = f"pipeline '{spec.pipeline}' has no input '{name}'"
                self._faults.tell(outer, f"{spec.path}.inputs.{name}", message, nearest(name, copy.file.inputs))
        return {name: self._bind_input(copy, spec, outer, name, own) for name, own in copy.file.inputs.items()}

    def _bind_input(self, copy: Scope, spec: StepSpec, outer: Scope, name: str, own: Any) -> Found:
        path = f"{spec.path}.inputs.{name}"
        if name in spec.inputs:
            return self._of_kind(outer, self._lookup.given(outer, spec.inputs[name], path), name, path)
        if own is not None:
            return self._bring(copy, name, own)
        found = self._defaults.source(outer, name, path)
        if found == ():
            message = f"is not given, and pipeline '{spec.pipeline}' reads it"
            self._faults.tell(outer, path, message, f"write '{name}: <reference>' here")
        return found or None

    def _bring(self, copy: Scope, name: str, own: Any) -> Found:
        """A reference that the named pipeline's file brings along, as an input of the plan."""
        if not isinstance(own, str):
            message = f"{shown(own)} is no reference"
            self._faults.tell(copy, f"{INPUTS}.{name}", message, "a tag or digest as text; put it in quotes")
            return None
        full = copy.prefix + name
        self.brought[full] = own
        self.sources.inputs[full] = INPUT_KINDS.get(name)
        return (f"{INPUTS}.{full}",)

    def _of_kind(self, scope: Scope, found: Found, name: str, path: str) -> Found:
        """``found``, where it is of the kind that an input called ``name`` is."""
        kind = INPUT_KINDS.get(name)
        for source in found or ():
            is_kind = self.sources.kind(source)
            if kind and is_kind not in (None, kind):
                message = f"'{self.sources.name(source, scope)}' is a {is_kind}, input '{name}' is a {kind}"
                self._faults.tell(scope, path, message, self.sources.offer(Port(kind), scope))
                return None
        return found

    def _add(self, leaf: Leaf) -> ResolvedStep:
        """Resolve the next step."""
        info, around = self._catalogue.get(leaf.spec.uses), self._when[leaf.scope]
        when = around | self._lookup.conditions(leaf.scope, leaf.spec.path, leaf.spec.when, around, leaf)
        resolved = ResolvedStep(leaf, None, when=when) if info is None else self._resolve(leaf, info, when)
        other = self.sources.steps.setdefault(leaf.id, resolved)
        if other is not resolved and leaf.spec.id not in leaf.scope.seen:
            message = f"unrolls to '{leaf.id}', as does {other.leaf.spec.path}"
            self._faults.tell(leaf.scope, f"{leaf.spec.path}.id", message, "choose another id", leaf)
        self._defaults.note(resolved)
        return resolved

    def _resolve(self, leaf: Leaf, info: MethodInfo, when: Mapping[str, str]) -> ResolvedStep:
        for name in leaf.spec.inputs:
            if name not in info.inputs:
                path = f"{leaf.spec.path}.inputs.{name}"
                message = f"{info.name} has no input '{name}'"
                self._faults.tell(leaf.scope, path, message, nearest(name, info.inputs), leaf)
        inputs, filled = {}, []
        for name, port in info.inputs.items():
            is_given = name in leaf.spec.inputs
            found = self._given(leaf, info, name, port) if is_given else self._omitted(leaf, info, name, port)
            if found and all(self._fits(leaf, info, name, source) for source in found):
                inputs[name] = found
                filled += [] if is_given else [name]
        return ResolvedStep(leaf, info, inputs, tuple(filled), self._form(info, inputs), when)

    def _given(self, leaf: Leaf, info: MethodInfo, name: str, port: Port) -> Found:
        """What the step says that the port reads."""
        path, value = f"{leaf.spec.path}.inputs.{name}", leaf.spec.inputs[name]
        found = self._lookup.given(leaf.scope, value, path, leaf)
        if found is None or port.many:
            return found
        if isinstance(value, list):
            self._faults.tell(leaf.scope, path, f"is a list, {info.name} takes one", "write one reference", leaf)
            return None
        if len(found) > 1:
            self._lookup.tell_several(leaf.scope, value, found, path, info.name, leaf)
            return None
        return found

    def _omitted(self, leaf: Leaf, info: MethodInfo, name: str, port: Port) -> Found:
        """The source of an omitted port; none where there is none, with a fault unless the port is optional."""
        path = f"{leaf.spec.path}.inputs.{name}"
        found = self._defaults.source(leaf.scope, name, path, port, leaf)
        if found == () and not port.optional:
            message = f"is not given, and {info.name} needs a {' or '.join(sorted(port.kinds))}"
            self._faults.tell(leaf.scope, path, message, self.sources.offer(port, leaf.scope), leaf)
        return found

    def _fits(self, leaf: Leaf, info: MethodInfo, name: str, source: str) -> bool:
        misfit = self.sources.misfit(info, info.inputs[name], source, leaf.scope)
        if misfit:
            self._faults.tell(leaf.scope, f"{leaf.spec.path}.inputs.{name}", *misfit, leaf)
        return misfit is None

    def _form(self, info: MethodInfo, inputs: Mapping[str, tuple[str, ...]]) -> frozenset[Form]:
        """What the model output may be; the empty set where a faulty input leaves it open."""
        if len(info.produces) == 1 or not info.descends_from:
            return info.produces
        if info.descends_from not in inputs:
            return frozenset()
        form = frozenset[Form]().union(*(self.sources.form(source) for source in inputs[info.descends_from]))
        return info.produces & form or info.produces
