"""Post-training static quantization to 8 bits: integer weights per output channel, integer activations per tensor.

Paper: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    2018, arXiv:1712.05877; Nagel et al., "A White Paper on Neural Network Quantization", 2021, arXiv:2106.08295.
Differs from the papers: weights are symmetric (-127..127) with a scale per output channel, biases int32.
Cost: two passes over the calibration rows, and one over the checked rows before and after.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelpress.catalogue import QUANTIZED, MethodInfo, MethodParams


class Params(MethodParams):
    """Parameters of ptq-int8."""

    observer: Literal["min-max", "percentile", "mse"] = Field(
        "mse",
        description="How an activation's range is chosen: its extremes, all but outliers, or least squared error.",
    )
    percentile: float = Field(
        99.99, gt=90, le=100, description="For observer 'percentile': the share kept on each side."
    )
    reduce_range: bool = Field(
        False, description="7-bit weights, for processors without VNNI whose 8-bit products saturate."
    )
    check_rows: int = Field(1000, ge=1, description="Validation rows on which top-1 is told, before and after.")
    batch_size: int = Field(64, ge=1, description="Rows at a time in calibration; does not change the result.")


INFO = MethodInfo(
    name="quantizer/ptq-int8",
    params=Params,
    run="modelpress_quantizer.kernels.ptq_int8:run",
    summary="Post-training int8 of weights and activations, calibrated on 512 rows.",
    paper="Jacob et al. 2018, arXiv:1712.05877",
    produces=QUANTIZED,
    preserves=frozenset({"shapes"}),
    needs=frozenset({"data.calibration", "data.validation"}),
    metrics={
        "layers_quantized": "layers whose weights are integers now",
        "top1_validation_before": "per cent of the checked validation rows, before",
        "top1_validation": "per cent of the checked validation rows, with simulated integers",
    },
    version=2,  # grids only where integers are read
)
