"""What an omitted input stands for: the newest model or package, or an input of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress.catalogue import Kind, MethodInfo, Port
from modelpress.pipeline.faults import Faults
from modelpress.pipeline.lookup import Found, Lookup
from modelpress.pipeline.newest import Newest
from modelpress.pipeline.sources import INPUT_KINDS, ResolvedStep, Sources
from modelpress.pipeline.tree import Leaf, Scope

_FROM_INPUTS = {"data": "data", "teacher": "model", "reference": "model", "model": "model", "student": "model"}
_NEWEST = {"model": Kind.MODEL, "student": Kind.MODEL, "package": Kind.PACKAGE}


class Defaults:
    """Told of each step and block in file order, it knows what the next may omit."""

    def __init__(self, root: Scope, sources: Sources, lookup: Lookup, faults: Faults) -> None:
        self.blind = False
        """A step above has an unknown method or no id of its own: what omitted inputs stand for cannot be told."""
        self._loose = False
        """A step above has a faulty input: what it superseded cannot be told."""
        self._sources = sources
        self._lookup = lookup
        self._faults = faults
        self._newest: dict[Scope, Newest] = {root: Newest()}
        self._before: dict[Scope, Newest] = {}
        """What the round before left."""
        self._undeclared: dict[Scope, dict[str, list[str]]] = {}
        """Inputs that defaults wanted and the pipeline lacks, each with the steps that wanted it."""

    def enter(self, copy: Scope, before: Newest | None) -> None:
        """The steps of ``copy`` come next; ``before`` is what the round before left."""
        self._newest[copy] = Newest()
        if before:
            self._before[copy] = before

    def note(self, step: ResolvedStep) -> None:
        """``step`` has been resolved."""
        info = step.info
        self.blind |= info is None
        if info is not None:
            self._loose |= bool(info.descends_from) and info.descends_from not in step.inputs
            _make(self._newest[step.leaf.scope], step.leaf.id, info, step.inputs)

    def leave(self, scope: Scope) -> Newest:
        """What ``scope`` leaves to what comes after it, once its outputs are looked up."""
        for name, readers in self._undeclared.pop(scope, {}).items():
            listed = ", ".join(f"'{reader}'" for reader in readers)
            message = f"is missing, and {listed} would read it"
            self._faults.tell(scope, f"inputs.{name}", message, f"declare '{name}' here")
        outputs, inner = self._lookup.outputs[scope], self._newest[scope]
        return self._left(scope, outputs, inner) if outputs or scope.closed else inner

    def absorb(self, scope: Scope, left: Newest) -> None:
        """A block in ``scope`` has ended and leaves ``left``."""
        self._newest[scope].absorb(left)

    def source(self, scope: Scope, name: str, path: str, port: Port | None = None, leaf: Leaf | None = None) -> Found:
        """What an omitted input called ``name`` stands for in ``scope``; empty where nothing does.

        It is the ``port`` of ``leaf``, or the input, named at ``path``, of a pipeline by reference.
        """
        kind = _NEWEST.get(name)
        if kind and self.blind:
            return None
        newest = self._newest_in(scope, kind) if kind else []
        if kind and len(newest) > 1 and not self._loose:
            message = f"{len(newest)} branches give a {kind}: {self._sources.names(newest, scope, ' or ')}"
            self._faults.tell(scope, path, message, "name the one that is meant", leaf)
            return None
        if kind and newest:
            return (newest[-1],) if port is None or kind in port.kinds else ()
        wanted = _FROM_INPUTS.get(name, "")
        if not wanted or (port is not None and INPUT_KINDS[wanted] not in port.kinds):
            return ()
        return self._input(scope, wanted, port, leaf)

    def _input(self, scope: Scope, name: str, port: Port | None, leaf: Leaf | None) -> Found:
        """The pipeline's input called ``name``, where it has one."""
        if name in scope.root.file.inputs:
            return self._lookup.input_of(scope, name)
        if leaf is None:
            return ()
        if port is not None and not port.optional:
            reader = leaf.spec.id or leaf.spec.path
            self._undeclared.setdefault(scope.root, {}).setdefault(name, []).append(reader)
        return None

    def _newest_in(self, scope: Scope, kind: Kind) -> list[str]:
        for place in scope.visible():
            for newest in (self._newest[place], self._before.get(place)):
                if newest and (found := newest.of(kind)):
                    return found
        return []

    def _left(self, scope: Scope, outputs: Mapping[str, Found], inner: Newest) -> Newest:
        """Of a kind that ``outputs`` name, those, the one called like the kind alone; else what a block made."""
        left = Newest()
        for kind in Kind:
            named = {name: [s for s in found or () if self._sources.kind(s) is kind] for name, found in outputs.items()}
            every = [source for sources in named.values() for source in sources]
            chosen = named.get(kind) or [s for s in every if not inner.is_spent(kind, s)] or every
            if not chosen and not scope.closed:
                chosen = inner.of(kind)
            if chosen:
                left.spend_as(inner, [kind])
                left.add(kind, chosen)
        return left


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
