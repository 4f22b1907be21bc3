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
from modelpress.graph.model import BATCH

Array = NDArray[Any]

DTYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(int16)": np.int16, "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}  # fmt: skip


class Session:
    """A package, ready to run on the CPU with ``threads`` threads.

    Threads stop spinning when a call returns, so that two sessions that take turns do not disturb each other.

    Raises:
        InputError: a format that ONNX Runtime does not run, or bytes that it refuses.
    """

    def __init__(
        self, package: Package, threads: int, optimized_path: Path | None = None, profile_prefix: Path | None = None
    ) -> None:
        import onnxruntime as ort
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NotImplemented

        if package.format != "onnx":
            raise InputError(f"a package of format '{package.format}' cannot be run here; 'onnx' can")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if optimized_path is not None:
            options.optimized_model_filepath = str(optimized_path)
        if profile_prefix is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile_prefix)
        try:
            self._session = ort.InferenceSession(package.data, options, providers=["CPUExecutionProvider"])
        except (Fail, InvalidGraph, InvalidProtobuf, NotImplemented) as e:
            raise InputError(f"ONNX Runtime cannot load the package: {e}") from e
        self._inputs = self._session.get_inputs()
        self._sizes: dict[str, int] = package.facts.get("sizes", {})
        self._names = [value.name for value in self._inputs]

    def __call__(self, *inputs: Array) -> list[Array]:
        """All outputs for ``inputs``, each [b, ...]."""
        outputs: list[Array] = self._session.run(None, dict(zip(self._names, inputs, strict=True)))
        return outputs

    def end_profiling(self) -> Path:
        """Stop recording; the JSON file with the time of every node of every call. Needs a ``profile_prefix``."""
        return Path(self._session.end_profiling())

    def predict(self, inputs: Array) -> Array:
        """The first output for the one input: logits [b, classes] of a classifier."""
        return self(np.ascontiguousarray(inputs))[0]

    def examples(self, batch: int, seed: int = 0) -> list[Array]:
        """Random inputs [batch, ...] of the right types: normal for floats, zeros and ones for integers.

        Other dynamic dimensions are as long as in the example that the model was exported with.
        """
        generator = np.random.default_rng(seed)
        sizes = {**self._sizes, BATCH: batch}
        made: list[Array] = []
        for value in self._inputs:
            shape = [n if isinstance(n, int) else sizes[n] for n in value.shape]
            dtype = DTYPES[value.type]
            drawn = (
                generator.standard_normal(shape) if issubclass(dtype, np.floating) else generator.integers(0, 2, shape)
            )
            made.append(drawn.astype(dtype))
        return made


def runtime_version() -> str:
    """Name and version of the runtime, for reports."""
    import onnxruntime as ort

    return f"ONNX Runtime {ort.__version__}, CPU"


def runtime_operators(package: Package) -> Counter[str]:
    """How often each operator occurs in the graph that ONNX Runtime makes of the package, after its fusions.

    This, not the file, says whether integer kernels run: ``QLinearConv`` instead of ``Conv``, ``QGemm``, ...
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        Session(package, threads=1, optimized_path=path)
        return Counter(node.op_type for node in onnx.load(path).graph.node)
