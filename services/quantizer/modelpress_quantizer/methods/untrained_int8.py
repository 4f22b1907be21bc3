"""8-bit integers without any data: what ptq-int8 would make of a model, for its size and speed only.

Ranges of activations come from random inputs of the model's input specs, so what it computes means nothing; but size
and speed depend on shapes and types, and those are ptq-int8's. The x-ray measures it before there is any data.

Paper: none; see ptq-int8.
Cost: one pass over a batch of two.
"""

from __future__ import annotations

from pydantic import Field

from modelpress.catalogue import MODEL, QUANTIZED, MethodInfo, MethodParams


class Params(MethodParams):
    """Parameters of untrained-int8."""

    reduce_range: bool = Field(False, description="7-bit weights, as of ptq-int8; same size and speed.")


INFO = MethodInfo(
    name="quantizer/untrained-int8",
    params=Params,
    run="modelpress_quantizer.kernels.untrained_int8:run",
    summary="Int8 with ranges from random inputs: right in size and speed, useless in what it computes.",
    inputs={"model": MODEL},
    produces=QUANTIZED,
    preserves=frozenset({"shapes"}),
    metrics={"layers_quantized": "layers whose weights are integers now"},
)
