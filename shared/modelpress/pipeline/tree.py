"""A pipeline with its blocks unrolled: scopes that hold entries, entries that hold copies, leaves that are steps.

A scope is where names are looked up: the steps of a file, of one round, or of one branch. Nothing of this reaches the
engine; `modelpress.pipeline.resolve` makes one flat list of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelpress.pipeline.entries import StepSpec
from modelpress.pipeline.spec import PipelineSpec


@dataclass(eq=False)
class Leaf:
    """One step of the plan. ``spec`` has its marks filled, ``id`` is the plan's, which no other step has."""

    spec: StepSpec
    id: str
    scope: Scope

    def name_from(self, scope: Scope) -> str:
        """How a reference in ``scope`` names it: ``prune`` beside it, ``rounds[2].prune`` from outside the block."""
        around = set(map(id, scope.chain()))
        own = [] if self.scope.leaf is self else [self.spec.id]
        labels = []
        for place in self.scope.chain():
            if id(place) in around:
                break
            labels.append(place.label)
        return ".".join([*reversed(labels), *own])


@dataclass(eq=False)
class Entry:
    """An entry of a file's ``steps``: one leaf, or the copies that it was unrolled to."""

    spec: StepSpec
    leaf: Leaf | None = None
    copies: list[Scope] = field(default_factory=list)

    def nodes(self) -> list[Leaf | Scope]:
        """What a reference to it may mean."""
        return [self.leaf] if self.leaf else [copy.leaf or copy for copy in self.copies]


@dataclass(eq=False)
class Scope:
    """``label`` is what references call it (``rounds[2]``), ``prefix`` what its steps' ids begin with (``rounds-2-``).

    ``spec`` is the filled entry that it is a copy of; None for a pipeline's own steps. ``values`` are a branch's, by
    axis. ``leaf`` is set in a copy of a single step, which is all that it holds. ``seen`` are the entries that a
    reference may name so far, by id.
    """

    file: PipelineSpec
    parent: Scope | None = None
    spec: StepSpec | None = None
    label: str = ""
    prefix: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    leaf: Leaf | None = None
    seen: dict[str, Entry] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether it is a pipeline of its own: its steps see nothing of what is around it but its inputs."""
        return self.parent is None or (self.spec is not None and bool(self.spec.pipeline))

    def chain(self) -> Iterator[Scope]:
        """It and every scope around it, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def visible(self) -> Iterator[Scope]:
        """Those of its `chain` whose names it sees; the last is its pipeline's own."""
        for scope in self.chain():
            yield scope
            if scope.closed:
                return

    @property
    def root(self) -> Scope:
        """The scope of its pipeline's own steps."""
        return next(scope for scope in self.visible() if scope.closed)

    def leaves(self) -> Iterator[Leaf]:
        """Every step below it, in file order."""
        for entry in self.entries:
            if entry.leaf:
                yield entry.leaf
            for copy in entry.copies:
                yield from copy.leaves()
