"""Latency of a package beside a reference, measured in turn in one run, threads pinned, noise told.

Times of two programs measured minutes apart differ by what else the machine did meanwhile. So both sides take turns
in short rounds, the fastest call of each side makes its round, the ratio is taken within each round, and the median
over the rounds is told with its interval. The tail (p95, p99) of all calls is in the report.

Paper: none.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelpress.catalogue import Kind, MethodInfo, MethodParams, Port

BatchSize = Literal[1, 2, 4, 8, 16, 32, 64, 128, 256]
BATCH_SIZES: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Params(MethodParams):
    """Parameters of latency."""

    batch_sizes: tuple[BatchSize, ...] = Field((1, 64), min_length=1, description="Samples in one call.")
    threads: int | None = Field(None, ge=1, le=256, description="Of the runtime; the step's own when absent.")
    seconds: float = Field(3.0, gt=0, le=600, description="Time of the rounds at each batch size, both sides together.")


def _metrics(batch: int) -> dict[str, str]:
    return {
        f"latency_ms_b{batch}": f"milliseconds of a call with {batch} samples: median of the rounds' fastest",
        f"throughput_b{batch}": f"samples a second at batch {batch}",
        f"reference_latency_ms_b{batch}": f"latency_ms_b{batch} of the reference, on the same runtime",
        f"reference_throughput_b{batch}": f"throughput_b{batch} of the reference",
        f"reference_eager_latency_ms_b{batch}": f"latency_ms_b{batch} of a reference model in eager torch",
        f"latency_ratio_b{batch}": f"reference / package at batch {batch}: median of the ratios within rounds",
        f"latency_ratio_low_b{batch}": "lower end of the ratio's 95 % interval",
        f"latency_ratio_high_b{batch}": "upper end of the ratio's 95 % interval",
        f"noise_b{batch}": f"spread of the rounds at batch {batch}: interquartile range over median, the worse side",
        f"preemptions_b{batch}": "times a second that other work took a processor from the measurement",
    }


INFO = MethodInfo(
    name="hardware-profiler/latency",
    params=Params,
    run="modelpress_hardware_profiler.kernels.latency:run",
    summary="Latency and throughput on ONNX Runtime, as a ratio to a reference measured in turn.",
    inputs={
        "package": Port(Kind.PACKAGE, doc="What is measured."),
        "reference": Port(
            Kind.PACKAGE, doc="What it is compared with; a model is packaged, and measured in eager torch too.",
            optional=True, alternatives=frozenset({Kind.MODEL}),
        ),
    },
    outputs={"report": Kind.REPORT},
    metrics={name: meaning for batch in BATCH_SIZES for name, meaning in _metrics(batch).items()},
    pure=False,
)  # fmt: skip
