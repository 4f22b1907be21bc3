"""Whether a package does what its graph does, on real inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelpress.artifacts.package import Package
from modelpress.catalogue import Form
from modelpress.errors import StepError
from modelpress.graph.model import BATCH, Model
from modelpress.graph.outputs import plain
from modelpress.graph.packages.session import Session

MIN_AGREEMENT = 99.5
"""Per cent of the rows, of the top-1 classes of an int8 package and its graph."""
TOLERANCE = 1e-4
"""Of a float package's outputs, relative to the largest output."""
ROWS = 250
"""Compared at a time."""


@dataclass(frozen=True)
class Check:
    """What was found on ``rows`` samples.

    ``agreement`` is the per cent of them with equal top-1, ``difference`` the largest one of the outputs, relative to
    the largest output.
    """

    rows: int
    agreement: float
    difference: float


def check_package(package: Package, model: Model, inputs: Tensor | Sequence[Tensor], threads: int) -> Check:
    """Run both on ``inputs``, one tensor [n, ...] for each input of the model (prepared), and compare all outputs.

    Raises:
        StepError: an int8 package agrees on less than `MIN_AGREEMENT`, or a float one differs by more than `TOLERANCE`.
    """
    found = compare(package, model, inputs, threads)
    if package.form is Form.QUANTIZED and found.agreement < MIN_AGREEMENT:
        raise StepError(
            f"the int8 package and its graph agree on {found.agreement:.2f} % of {found.rows} rows, not on "
            f"{MIN_AGREEMENT} %: on a processor without VNNI quantize with reduce_range: true"
        )
    if package.form is not Form.QUANTIZED and found.difference > TOLERANCE:
        raise StepError(
            f"the package's outputs differ from its graph's by {found.difference:.1e} of their size on {found.rows} "
            f"rows; at most {TOLERANCE:.0e} is rounding"
        )
    return found


@torch.no_grad()
def compare(package: Package, model: Model, inputs: Tensor | Sequence[Tensor], threads: int) -> Check:
    """Outputs of the package on ONNX Runtime against the graph's on torch; agreement is of the first one's classes."""
    session = Session(package, threads)
    model.module.eval()
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    agreements, differences = [], []
    for batch in _batches(given, model):
        expected = list(plain(model.module(*batch)).tensors().values())
        actual = [torch.from_numpy(y) for y in session(*(x.numpy() for x in batch))]
        _check_shapes(actual, expected)
        agreements.append((_classes(actual[0]) == _classes(expected[0])).double().flatten())
        differences.append([_difference(a, e) for a, e in zip(actual, expected, strict=True)])
    agreement = 100 * float(torch.cat(agreements).mean())
    return Check(len(given[0]), agreement, max(_relative(output) for output in zip(*differences, strict=True)))


def _batches(inputs: Sequence[Tensor], model: Model) -> Iterator[tuple[Tensor, ...]]:
    """Inputs whose first dimension is the batch in parts of it; the others as they are, in every part."""
    counted = [bool(spec.shape) and spec.shape[0] == BATCH for spec in model.inputs]
    rows = max((len(x) for x, is_batch in zip(inputs, counted, strict=True) if is_batch), default=1)
    for start in range(0, rows, ROWS):
        yield tuple(x[start : start + ROWS] if is_batch else x for x, is_batch in zip(inputs, counted, strict=True))


def _check_shapes(actual: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    shapes = [[list(t.shape) for t in outputs] for outputs in (actual, expected)]
    if shapes[0] != shapes[1] or not all(bool(t.isfinite().all()) for t in actual):
        raise StepError(f"the package gives {shapes[0]} or infinities; its graph gives {shapes[1]}")


def _classes(output: Tensor) -> Tensor:
    """The highest class of each row, or of each position: [n, classes], [n, positions, classes], [n, classes, ...]."""
    return output.argmax(-1 if output.ndim <= 3 else 1) if output.ndim else output


def _difference(actual: Tensor, expected: Tensor) -> tuple[float, float]:
    """Largest difference, and largest output."""
    return float((actual.double() - expected.double()).abs().max()), float(expected.double().abs().max())


def _relative(parts: Sequence[tuple[float, float]]) -> float:
    return max(d for d, _ in parts) / max(*(size for _, size in parts), 1e-12)
