"""Which artifact each step reads: references checked, omitted inputs filled, kinds and forms compared.

An omitted ``model`` or ``student`` is the newest model: the output of the nearest earlier step that produces one, or
``inputs.model`` where none does. A model is superseded once an earlier step made another model out of it; two that
were not superseded stand in parallel branches, and the pipeline must say which. An omitted ``package`` is found
alike, ``data`` is ``inputs.data``, ``teacher`` and ``reference`` are ``inputs.model``. A port without a default, or
whose default is of a kind that it does not take, must be given unless it is optional.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelpress.catalogue import ANY_FORM, DENSE, Form, Kind, MethodInfo, Port
from modelpress.errors import Violation, nearest
from modelpress.pipeline.spec import INPUTS, StepSpec, shown

INPUT_KINDS = {"model": Kind.MODEL, "data": Kind.DATASET}
"""Kinds of the inputs whose names say it; any other input is of the kind of the ports that read it."""

_FROM_INPUTS = {"data": "data", "teacher": "model", "reference": "model"}
_NEWEST = {"model": Kind.MODEL, "student": Kind.MODEL, "package": Kind.PACKAGE}


@dataclass(frozen=True)
class ResolvedStep:
    """A step with its inputs. ``info`` is None for an unknown method, about which nothing can be said."""

    spec: StepSpec
    info: MethodInfo | None
    inputs: Mapping[str, str] = field(default_factory=dict)
    filled: tuple[str, ...] = ()
    form: frozenset[Form] = DENSE
    """What its model output, if it has one, may be."""


class Resolver:
    """Resolves steps in file order; every fault goes to ``faults``."""

    def __init__(self, inputs: Iterable[str], steps: Iterable[StepSpec], faults: list[Violation]) -> None:
        self.declared = tuple(inputs)
        self.ids = [step.id for step in steps]
        self.faults = faults
        self.done: dict[str, ResolvedStep] = {}
        self.undeclared: dict[str, list[str]] = {}
        """Inputs that defaults wanted and the pipeline lacks, each with the steps that wanted it."""
        self._blind = False
        """A step above has an unknown method or no id of its own: what omitted inputs stand for cannot be told."""
        self._loose = False
        """A step above has a faulty input: what it superseded cannot be told."""

    def add(self, step: StepSpec, info: MethodInfo | None) -> ResolvedStep:
        """Resolve the next step."""
        resolved = ResolvedStep(step, info) if info is None else self._resolve(step, info)
        fresh = bool(step.id) and step.id not in self.done
        if fresh:
            self.done[step.id] = resolved
        elif step.id:
            first = self.done[step.id].spec.path
            self._fault(f"{step.path}.id", f"'{step.id}' is taken by {first}", "choose another id")
        self._blind |= info is None or not fresh
        self._loose |= info is not None and bool(info.descends_from) and info.descends_from not in resolved.inputs
        return resolved

    def check_reference(self, reference: Any, path: str, own_id: str = "") -> bool:
        """Whether ``reference`` names an input of the pipeline or an output of an earlier step."""
        head, dot, name = reference.partition(".") if isinstance(reference, str) else ("", "", "")
        if not (head and dot and name):
            self._fault(path, f"{shown(reference)} is no reference", "expected 'inputs.<name>' or '<step>.<output>'")
        elif head == INPUTS:
            return self._known(name, self.declared, path, "the pipeline has no input")
        elif head in self.done:
            info = self.done[head].info
            return info is None or self._known(name, info.outputs, path, f"step '{head}' has no output")
        elif head == own_id:
            self._fault(path, f"step '{head}' reads its own output", "read an input or an earlier step")
        elif head in self.ids:
            self._fault(path, f"step '{head}' comes later", f"move '{head}' above the step that reads it")
        else:
            self._fault(path, f"there is no step '{head}'", nearest(head, [*self.done, INPUTS]))
        return False

    def kind(self, source: str) -> Kind | None:
        """The kind of what ``source`` names; None where only the run can tell."""
        head, _, name = source.partition(".")
        if head == INPUTS:
            return INPUT_KINDS.get(name)
        info = self.done[head].info
        return info.outputs[name] if info else None

    def _resolve(self, step: StepSpec, info: MethodInfo) -> ResolvedStep:
        for name in step.inputs:
            self._known(name, info.inputs, f"{step.path}.inputs.{name}", f"{info.name} has no input", name)
        inputs, filled = {}, []
        for name, port in info.inputs.items():
            given = name in step.inputs
            source = self._given(step, name) if given else self._default(step, info, name, port)
            if source is not None and self._fits(step, info, name, source):
                inputs[name] = source
                filled += [] if given else [name]
        return ResolvedStep(step, info, inputs, tuple(filled), self._form(info, inputs))

    def _given(self, step: StepSpec, name: str) -> str | None:
        source = step.inputs[name]
        return source if self.check_reference(source, f"{step.path}.inputs.{name}", step.id) else None

    def _default(self, step: StepSpec, info: MethodInfo, name: str, port: Port) -> str | None:
        """The source of an omitted port; None where there is none, with a fault unless the port is optional."""
        path = f"{step.path}.inputs.{name}"
        if name in _NEWEST and self._blind:
            return None
        newest = self._newest(_NEWEST[name]) if name in _NEWEST else []
        if len(newest) > 1 and not self._loose:
            options = " or ".join(f"'{source}'" for source in newest)
            self._fault(path, f"{len(newest)} branches give a {_NEWEST[name]}: {options}", "name the one that is meant")
            return None
        wanted = newest[-1] if newest else self._input_for(name)
        if wanted and self.kind(wanted) in port.kinds:
            return self._declared(wanted, step, port)
        if not port.optional:
            kinds = " or ".join(sorted(port.kinds))
            self._fault(path, f"is not given, and {info.name} needs a {kinds}", self._offer(port))
        return None

    def _input_for(self, name: str) -> str:
        wanted = "model" if _NEWEST.get(name) is Kind.MODEL else _FROM_INPUTS.get(name)
        return f"{INPUTS}.{wanted}" if wanted else ""

    def _declared(self, source: str, step: StepSpec, port: Port) -> str | None:
        head, _, name = source.partition(".")
        if head != INPUTS or name in self.declared:
            return source
        if not port.optional:
            self.undeclared.setdefault(name, []).append(step.id or step.path)
        return None

    def _newest(self, kind: Kind) -> list[str]:
        """Outputs of this kind, in file order, that no earlier step made another of the same kind from."""
        made, superseded = [], set()
        for step_id, step in self.done.items():
            if step.info and kind in step.info.outputs.values():
                made += [f"{step_id}.{name}" for name, is_kind in step.info.outputs.items() if is_kind is kind]
                superseded.add(step.inputs.get(_main_port(step.info, kind), ""))
        return [source for source in made if source not in superseded]

    def _fits(self, step: StepSpec, info: MethodInfo, name: str, source: str) -> bool:
        kind, port, path = self.kind(source), info.inputs[name], f"{step.path}.inputs.{name}"
        if kind is not None and kind not in port.kinds:
            wanted = " or ".join(sorted(port.kinds))
            self._fault(path, f"'{source}' is a {kind}, {info.name} takes a {wanted}", self._offer(port))
            return False
        head = source.partition(".")[0]
        if kind is Kind.MODEL and head != INPUTS and not self.done[head].form <= port.accepts:
            is_form, wanted = _listed(self.done[head].form), _listed(port.accepts)
            self._fault(path, f"'{source}' is {is_form}, {info.name} takes {wanted}", f"put this step before '{head}'")
            return False
        return True

    def _form(self, info: MethodInfo, inputs: Mapping[str, str]) -> frozenset[Form]:
        """What the model output may be; the empty set where a faulty input leaves it open."""
        if len(info.produces) == 1 or not info.descends_from:
            return info.produces
        if info.descends_from not in inputs:
            return frozenset()
        head = inputs[info.descends_from].partition(".")[0]
        form = DENSE if head == INPUTS else self.done[head].form
        return info.produces & form or info.produces

    def _offer(self, port: Port) -> str:
        """Everything so far that ``port`` would take."""
        steps = [f"{i}.{name}" for i, step in self.done.items() if step.info for name in step.info.outputs]
        sources = [*(f"{INPUTS}.{name}" for name in self.declared), *steps]
        fitting = [source for source in sources if self.kind(source) in port.kinds | {None}]
        return f"there is {', '.join(fitting)}" if fitting else "nothing above is one"

    def _known(self, name: str, known: Iterable[str], path: str, message: str, offered: str = "") -> bool:
        if name in known:
            return True
        self._fault(path, f"{message} '{name}'", nearest(offered or name, known))
        return False

    def _fault(self, path: str, message: str, suggestion: str) -> None:
        self.faults.append(Violation(path, message, suggestion))


def _main_port(info: MethodInfo, kind: Kind) -> str:
    return info.descends_from if kind is Kind.MODEL else str(kind)


def _listed(forms: frozenset[Form]) -> str:
    return "any form" if forms == ANY_FORM else " or ".join(sorted(forms))
