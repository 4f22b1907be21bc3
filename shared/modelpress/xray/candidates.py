"""The ways to compress that an x-ray tries: which there are, and each as a package that was really built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from modelpress.artifacts.package import Package
from modelpress.catalogue import Catalogue, MethodInfo
from modelpress.errors import ModelpressError, NotFoundError
from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.remove import remove
from modelpress.graph.axes.slim import slim_choice
from modelpress.graph.costs import costs, totals
from modelpress.graph.model import Model
from modelpress.graph.packages.make import package_facts
from modelpress.graph.packages.onnx import onnx_file
from modelpress.job import LocalJob

WIDTHS = (Fraction(1, 2), Fraction(1, 4), Fraction(3, 4))
"""In the order of what they tell."""
INT8_METHOD = "quantizer/untrained-int8"
Made = TypeVar("Made")
NO_AXIS = "no width can shrink: every axis is frozen"


@dataclass(frozen=True)
class Way:
    """``width`` is a share of every axis."""

    width: Fraction
    int8: bool

    @property
    def name(self) -> str:
        """``dense``, ``int8``, ``width 1/2``, ``width 1/2, int8``."""
        if self.width == 1:
            return "int8" if self.int8 else "dense"
        return f"width {self.width}" + (", int8" if self.int8 else "")


DENSE = Way(Fraction(1), False)
INT8 = Way(Fraction(1), True)
ALWAYS = (DENSE, INT8)
"""Whatever the budget: without these there is nothing to say."""
WAYS = (*ALWAYS, *(Way(width, int8) for width in WIDTHS for int8 in (False, True)))
"""All, in the order in which they are built: what tells most comes first."""


@dataclass(frozen=True)
class Built:
    """A candidate's package, and what each of its nodes came from."""

    way: Way
    package: Package
    origins: tuple[str, ...]

    @property
    def parameters(self) -> int:
        return int(self.package.facts["parameters"])

    @property
    def macs(self) -> int:
        return int(self.package.facts["macs"])


class Workshop:
    """Builds candidates of one model; holds one narrower copy at a time.

    Raises:
        ModelpressError: by `build`, for a candidate that cannot be built; the message is what `Skipped` tells.
    """

    def __init__(self, model: Model, axes: Axes, catalogue: Catalogue) -> None:
        self._model = model
        self._axes = axes
        self._catalogue = catalogue
        self._copy = (Fraction(1), model)
        self._seen: dict[tuple[bool, int, int], str] = {}

    def build(self, way: Way) -> Built:
        """The package of ``way``."""
        narrow = self._narrow(way.width)
        self._check_new(way, narrow)
        model = self._quantized(narrow) if way.int8 else narrow
        file = onnx_file(model)
        return Built(way, Package("onnx", model.form, file.data, package_facts(model)), file.origins)

    def _narrow(self, width: Fraction) -> Model:
        if self._copy[0] != width:
            choice = slim_choice(self._axes, float(width))
            if width != 1 and not choice:
                raise NotFoundError(NO_AXIS)
            self._copy = (width, remove(self._model, self._axes, choice) if width != 1 else self._model)
        return self._copy[1]

    def _check_new(self, way: Way, model: Model) -> None:
        total = totals(costs(model))
        same = self._seen.setdefault((way.int8, total.parameters, total.macs), way.name)
        if same != way.name:
            raise NotFoundError(f"its widths are those of '{same}', since they are kept multiples of 8")

    def _quantized(self, model: Model) -> Model:
        info: MethodInfo = self._catalogue[INT8_METHOD]
        found: Model = info.kernel()(model=model, params=info.params(), job=LocalJob())["model"]
        return found


def attempt(build: Callable[[], Made]) -> Made | str:
    """What ``build`` gives, or why it gives nothing: whatever one candidate meets, the others are worth having."""
    try:
        return build()
    except ModelpressError as e:
        return str(e)
    except Exception as e:
        return f"{type(e).__name__}: {e}"
