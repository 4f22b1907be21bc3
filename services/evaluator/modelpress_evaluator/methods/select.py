"""The smallest of several packages that is accurate enough: the end of a sweep, or of rounds that go too far.

Paper: none. The choice is made on the validation split, so that the test split still judges what was chosen.
Cost: one pass over the validation split for each package and one for the reference.
"""

from __future__ import annotations

from pydantic import Field

from modelpress.catalogue import Kind, MethodInfo, MethodParams, Port
from modelpress_evaluator.methods import classification


class Params(MethodParams):
    """Parameters of select."""

    max_drop_points: float = Field(
        0.5, description="Largest loss of top-1 accuracy against the reference, in points, that is let through."
    )


INFO = MethodInfo(
    name="evaluator/select",
    params=Params,
    run="modelpress_evaluator.kernels.select:run",
    summary="Of several packages, the smallest that is accurate enough beside a reference, else the most accurate.",
    inputs={
        "packages": Port(Kind.PACKAGE, doc="What is chosen from.", many=True),
        "reference": Port(
            Kind.PACKAGE, doc="What they are compared with; a model is packaged first.",
            alternatives=frozenset({Kind.MODEL}),
        ),
        "data": Port(Kind.DATASET, doc="Its validation split is what decides."),
    },
    outputs={"package": Kind.PACKAGE, "report": Kind.REPORT},
    needs=frozenset({"data.validation"}),
    metrics={
        **{name: unit for name, unit in classification.INFO.metrics.items() if not name.startswith("reference_")},
        "chosen": "number of the package that was chosen, counted from 1 in the order given",
        "candidates": "how many there were",
        "within": "1 where the chosen lost no more than max_drop_points, 0 where none of them did",
    },
)  # fmt: skip
