"""What the sources of a plan are: ``inputs.<name>`` or ``<step>.<output>``, their kinds, forms and written names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from modelpress.catalogue import ANY_FORM, DENSE, Form, Kind, MethodInfo, Port
from modelpress.pipeline.reader import INPUTS
from modelpress.pipeline.tree import Leaf, Scope

_NAMED = 8
"""Of the sources that would fit, how many a message lists."""


@dataclass(frozen=True)
class ResolvedStep:
    """A step with its inputs. ``info`` is None for an unknown method, about which nothing can be said."""

    leaf: Leaf
    info: MethodInfo | None
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    filled: tuple[str, ...] = ()
    form: frozenset[Form] = DENSE
    """What its model output, if it has one, may be."""
    when: Mapping[str, str] = field(default_factory=dict)


class Sources:
    """``steps`` are those resolved so far, by id; ``inputs`` the kinds of the plan's inputs, None where open."""

    def __init__(self, inputs: Mapping[str, Kind | None]) -> None:
        self.inputs = dict(inputs)
        self.steps: dict[str, ResolvedStep] = {}

    def kind(self, source: str) -> Kind | None:
        """The kind of what ``source`` names; None where only the run can tell."""
        head, _, name = source.partition(".")
        if head == INPUTS:
            return self.inputs[name]
        info = self.steps[head].info
        return info.outputs[name] if info else None

    def form(self, source: str) -> frozenset[Form]:
        """What the model ``source`` may be; the empty set where a faulty step leaves it open."""
        head = source.partition(".")[0]
        return DENSE if head == INPUTS else self.steps[head].form

    def name(self, source: str, scope: Scope) -> str:
        """``source`` as a reference in ``scope`` would be written."""
        head, _, name = source.partition(".")
        return source if head == INPUTS else f"{self.steps[head].leaf.name_from(scope)}.{name}"

    def names(self, sources: Iterable[str], scope: Scope, joint: str) -> str:
        """The first of ``sources``, quoted, and how many more there are."""
        every = list(sources)
        named = joint.join(f"'{self.name(source, scope)}'" for source in every[:_NAMED])
        return f"{named} and {len(every) - _NAMED} more" if len(every) > _NAMED else named

    def misfit(self, info: MethodInfo, port: Port, source: str, scope: Scope) -> tuple[str, str] | None:
        """Why ``port`` does not take ``source``, and what would be right; None where it does."""
        kind, name = self.kind(source), self.name(source, scope)
        if kind is not None and kind not in port.kinds:
            wanted = " or ".join(sorted(port.kinds))
            return f"'{name}' is a {kind}, {info.name} takes a {wanted}", self.offer(port, scope)
        if kind is Kind.MODEL and not source.startswith(f"{INPUTS}.") and not self.form(source) <= port.accepts:
            is_form, wanted = _listed(self.form(source)), _listed(port.accepts)
            before = name.rpartition(".")[0]
            return f"'{name}' is {is_form}, {info.name} takes {wanted}", f"put this step before '{before}'"
        return None

    def offer(self, port: Port, scope: Scope) -> str:
        """Everything so far that ``port`` would take, as ``scope`` names it."""
        fitting = [name for name, kind in self._there(scope) if kind is None or kind in port.kinds]
        more = f" and {len(fitting) - _NAMED} more" if len(fitting) > _NAMED else ""
        return f"there is {', '.join(fitting[:_NAMED])}{more}" if fitting else "nothing above is one"

    def _there(self, scope: Scope) -> Iterator[tuple[str, Kind | None]]:
        for name in scope.root.file.inputs:
            yield f"{INPUTS}.{name}", INPUT_KINDS.get(name)
        for place in reversed(list(scope.visible())):
            for leaf in (leaf for entry in place.seen.values() for leaf in _leaves(entry.nodes())):
                info = self.steps[leaf.id].info if leaf.id in self.steps else None
                for name, kind in info.outputs.items() if info else ():
                    yield f"{leaf.name_from(scope)}.{name}", kind


INPUT_KINDS: Mapping[str, Kind] = {"model": Kind.MODEL, "data": Kind.DATASET}
"""Kinds of the inputs whose names say it; any other input is of the kind of the ports that read it."""


def _leaves(nodes: Iterable[Leaf | Scope]) -> Iterator[Leaf]:
    for node in nodes:
        if isinstance(node, Leaf):
            yield node
        else:
            yield from node.leaves()


def _listed(forms: frozenset[Form]) -> str:
    return "any form" if forms == ANY_FORM else " or ".join(sorted(forms))
