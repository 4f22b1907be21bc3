"""ONNX Runtime with pinned threads: how packages are run wherever they are checked, evaluated or measured."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpress.artifacts.package import Package
from modelpress.errors import InputError

Array = NDArray[Any]


class Session:
    """A package, ready to run on the CPU."""

    def __init__(self, package: Package, threads: int, optimized_path: Path | None = None) -> None:
        import onnxruntime as ort

        if package.format != "onnx":
            raise InputError(f"a package of format '{package.format}' cannot be run here; 'onnx' can")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        if optimized_path is not None:
            options.optimized_model_filepath = str(optimized_path)
        self._session = ort.InferenceSession(package.data, options, providers=["CPUExecutionProvider"])
        self._inputs = [value.name for value in self._session.get_inputs()]

    def __call__(self, *inputs: Array) -> list[Array]:
        """All outputs for ``inputs``, each [b, ...]."""
        outputs: list[Array] = self._session.run(None, dict(zip(self._inputs, inputs, strict=True)))
        return outputs

    def predict(self, inputs: Array) -> Array:
        """The first output for the first input: logits [b, classes] of a classifier."""
        return self(np.ascontiguousarray(inputs))[0]


def runtime_operators(package: Package) -> Counter[str]:
    """How often each operator occurs in the graph that ONNX Runtime makes of the package, after its fusions.

    This, not the file, says whether integer kernels run: ``QLinearConv`` instead of ``Conv``, ``QGemm``, ...
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        Session(package, threads=1, optimized_path=path)
        return Counter(node.op_type for node in onnx.load(path).graph.node)
