"""Whether a package does what its graph does, on real inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from modelpress.artifacts.package import Package
from modelpress.catalogue import Form
from modelpress.errors import StepError
from modelpress.graph.model import Model
from modelpress.graph.packages.session import Session

MIN_AGREEMENT = 99.5
"""Per cent of the rows, of the top-1 classes of an int8 package and its graph."""
TOLERANCE = 1e-4
"""Of a float package's outputs, relative to the largest output."""
BATCH = 250


@dataclass(frozen=True)
class Check:
    """What was found on ``rows`` samples.

    ``agreement`` is the per cent of them with equal top-1, ``difference`` the largest one of the outputs, relative to
    the largest output.
    """

    rows: int
    agreement: float
    difference: float


def check_package(package: Package, model: Model, inputs: Tensor, threads: int) -> Check:
    """Run both on ``inputs`` [n, ...] float32 (prepared) and compare.

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
def compare(package: Package, model: Model, inputs: Tensor, threads: int) -> Check:
    """Outputs [n, classes] of the package on ONNX Runtime against the graph's on torch."""
    session = Session(package, threads)
    model.module.eval()
    expected = torch.cat([model.module(batch) for batch in torch.split(inputs, BATCH)])
    actual = torch.cat([torch.from_numpy(session.predict(batch.numpy())) for batch in torch.split(inputs, BATCH)])
    if actual.shape != expected.shape or not bool(actual.isfinite().all()):
        raise StepError(f"the package gives {list(actual.shape)} or infinities; its graph gives {list(expected.shape)}")
    agreement = 100 * (actual.argmax(1) == expected.argmax(1)).double().mean()
    difference = (actual - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
    return Check(len(inputs), float(agreement), float(difference))
