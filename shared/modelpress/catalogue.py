"""What methods there are: descriptions without their tensor code, so that listing them needs no torch.

A service contributes a tuple of `MethodInfo` through the entry-point group ``modelpress.services``; others bring
their own the same way. The suite iterates `load_catalogue`, so a method is tested the moment it is registered.
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from pydantic import BaseModel, ConfigDict

from modelpress.errors import NotFoundError, nearest

GROUP = "modelpress.services"


class Kind(enum.StrEnum):
    """Kinds of artifact that steps exchange."""

    MODEL = "model"
    DATASET = "dataset"
    PACKAGE = "package"
    REPORT = "report"


class Cost(enum.StrEnum):
    """What a step costs, roughly: hours of training, a machine to itself, or neither."""

    TRAINING = "training"
    MEASUREMENT = "measurement"
    LIGHT = "light"


class Form(enum.StrEnum):
    """What a model artifact is: plain floats, floats under pending constraints, or integers."""

    DENSE = "dense"
    CONSTRAINED = "constrained"
    QUANTIZED = "quantized"


DENSE = frozenset({Form.DENSE})
CONSTRAINED = frozenset({Form.CONSTRAINED})
QUANTIZED = frozenset({Form.QUANTIZED})
ANY_FORM = DENSE | CONSTRAINED | QUANTIZED


class MethodParams(BaseModel):
    """Base of every method's parameters; its JSON Schema is what the catalogue shows."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


@dataclass(frozen=True)
class Port:
    """One input of a method: the kind of artifact and, for models, the forms that it accepts.

    A port may take other kinds too (``alternatives``): an evaluator's ``reference`` is a package or a model, and the
    kernel is given whichever the pipeline names, a `Package` or a `Model`. An ``optional`` port that a pipeline
    leaves empty is not passed to the kernel, whose argument therefore has a default. A port that takes ``many`` is
    given a list, in the order that the pipeline names.
    """

    kind: Kind
    accepts: frozenset[Form] = ANY_FORM
    doc: str = ""
    optional: bool = False
    alternatives: frozenset[Kind] = frozenset()
    many: bool = False

    @property
    def kinds(self) -> frozenset[Kind]:
        """Every kind that it takes."""
        return self.alternatives | {self.kind}


MODEL = Port(Kind.MODEL, DENSE)
DATA = Port(Kind.DATASET)


@dataclass(frozen=True)
class MethodInfo:
    """Facts about a method, read by validation, planning, documentation and the contract tests.

    ``run`` names the kernel as ``"package.module:function"``. It is called with one keyword argument per input port
    (loaded), ``params`` and ``job`` (`modelpress.job.Job`), and returns a mapping with one artifact per
    output. ``metrics`` are the names it may report through the job (gates are validated against them), each with
    its unit and meaning. ``version`` is part of every step key: raise it when results change.
    ``pure`` is False for measurements, which key on the machine too. ``student`` names the input whose model the
    output descends from; where an input is omitted in a pipeline, ``model`` and ``student`` are filled alike.
    A method that lists several forms in ``produces`` keeps the form of the model that it descends from, where it can.
    """

    name: str
    params: type[MethodParams]
    run: str
    summary: str
    paper: str = ""
    inputs: Mapping[str, Port] = field(default_factory=lambda: {"model": MODEL, "data": DATA})
    outputs: Mapping[str, Kind] = field(default_factory=lambda: {"model": Kind.MODEL})
    produces: frozenset[Form] = DENSE
    preserves: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    metrics: Mapping[str, str] = field(default_factory=dict)
    trains: bool = False
    pure: bool = True
    version: int = 1

    @property
    def service(self) -> str:
        """The service that runs it: the part before the slash."""
        return self.name.partition("/")[0]

    @property
    def cost(self) -> Cost:
        """Training where it trains, a measurement where it is not pure, else light."""
        if self.trains:
            return Cost.TRAINING
        return Cost.LIGHT if self.pure else Cost.MEASUREMENT

    @property
    def descends_from(self) -> str:
        """The port whose model the output descends from: ``student``, else ``model``, else the empty string."""
        return next((port for port in ("student", "model") if port in self.inputs), "")

    def kernel(self) -> Callable[..., Mapping[str, Any]]:
        """Import and return the kernel; only workers call this."""
        module, _, function = self.run.partition(":")
        kernel: Callable[..., Mapping[str, Any]] = getattr(importlib.import_module(module), function)
        return kernel


class Catalogue:
    """The methods by name."""

    def __init__(self, methods: tuple[MethodInfo, ...]) -> None:
        self._methods = {m.name: m for m in methods}

    def __iter__(self) -> Any:
        return iter(sorted(self._methods.values(), key=lambda m: m.name))

    def __contains__(self, name: str) -> bool:
        return name in self._methods

    def __getitem__(self, name: str) -> MethodInfo:
        """The method called ``name``.

        Raises:
            NotFoundError: there is none; offers the nearest.
        """
        if name not in self._methods:
            raise NotFoundError(f"unknown method '{name}': {nearest(name, self._methods)}")
        return self._methods[name]

    def get(self, name: str) -> MethodInfo | None:
        """The method called ``name``, or None."""
        return self._methods.get(name)

    def names(self) -> list[str]:
        return sorted(self._methods)


def load_catalogue() -> Catalogue:
    """The methods of every installed service, their kernels not imported."""
    groups = (point.load() for point in entry_points(group=GROUP))
    return Catalogue(tuple(info for group in groups for info in group))
