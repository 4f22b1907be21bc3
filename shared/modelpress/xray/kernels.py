"""Which kernel the runtime chose for which layer, and how long it takes.

ONNX Runtime fuses nodes and names what it makes after them. So nodes are given numbers for names, and whatever the
runtime reports is traced back by the number that its name still holds.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from modelpress.artifacts.package import Package
from modelpress.graph.packages.session import Session
from modelpress.xray.candidates import Built

if TYPE_CHECKING:
    import onnx

NUMBER = re.compile(r"@(\d+)@")
TIMED = "_kernel_time"
MULTIPLYING = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Einsum", "Attention")
INTEGER = re.compile(r"^Q[A-Z]|Integer|^DynamicQuantize")
WARM_UP_CALLS = 2


@dataclass(frozen=True)
class Kernel:
    """A node of the runtime's own graph: its operator, and what of the model it computes.

    ``origin`` is as `modelpress.graph.packages.origins` has it; for what the runtime added, the operator's name.
    """

    operator: str
    origin: str

    @property
    def multiplies_floats(self) -> bool:
        return self.operator.endswith(MULTIPLYING) and not INTEGER.search(self.operator)


class Numbered:
    """A candidate's package with numbers for names; equal in all else, so equally fast."""

    def __init__(self, built: Built) -> None:
        import onnx

        proto = onnx.ModelProto.FromString(built.package.data)
        _number(proto.graph)
        self._operators = [node.op_type for node in proto.graph.node]
        self._sources = _sources(proto.graph)
        self._origins = built.origins
        self.package: Package = replace(built.package, data=proto.SerializeToString())

    def kernel(self, name: str, operator: str) -> Kernel:
        """What the runtime's node ``name`` is. A layer fused with what follows is named after that."""
        found = NUMBER.search(name)
        if not found:
            return Kernel(operator, operator)
        index: int | None = int(found[1])
        if operator.endswith(MULTIPLYING):
            while index is not None and self._operators[index] not in MULTIPLYING:
                index = self._sources[index]
        return Kernel(operator, self._origins[int(found[1]) if index is None else index] or operator)


def _number(graph: onnx.GraphProto) -> None:
    names = {value.name: value.name for value in (*graph.output, *graph.input)}
    for i, node in enumerate(graph.node):
        node.name = f"@{i}@"
        names.update({old: f"@{i}@{j}" for j, old in enumerate(node.output) if old and old not in names})
        node.input[:] = [names.get(old, old) for old in node.input]
        node.output[:] = [names.get(old, old) for old in node.output]


def _sources(graph: onnx.GraphProto) -> list[int | None]:
    """The node that makes each node's first input; None for those that read an input or a constant."""
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output}
    return [makers.get(node.input[0]) if node.input else None for node in graph.node]


def float_layers(built: Built) -> tuple[str, ...]:
    """Layers and operators of ``built`` that the runtime multiplies in floats, in the order in which it runs them."""
    import onnx

    numbered = Numbered(built)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        Session(numbered.package, threads=1, optimized_path=path)
        nodes = onnx.load(path).graph.node
    kernels = (numbered.kernel(node.name, node.op_type) for node in nodes)
    return tuple(dict.fromkeys(kernel.origin for kernel in kernels if kernel.multiplies_floats))


def kernel_times_us(sides: Mapping[str, Built], batch: int, threads: int, calls: int) -> dict[str, dict[Kernel, float]]:
    """Microseconds of each kernel of each side in a call with ``batch`` samples: the median of ``calls`` in turn.

    Kernels of the same operator and origin count together.
    """
    numbered = {name: Numbered(built) for name, built in sides.items()}
    with tempfile.TemporaryDirectory() as folder:
        sessions = {
            name: Session(side.package, threads, profile_prefix=Path(folder) / str(i))
            for i, (name, side) in enumerate(numbered.items())
        }
        inputs = {name: session.examples(batch) for name, session in sessions.items()}
        for _ in range(WARM_UP_CALLS + calls):
            for name, session in sessions.items():
                session(*inputs[name])
        events = {name: json.loads(session.end_profiling().read_text()) for name, session in sessions.items()}
    return {name: _by_kernel(numbered[name], events[name]) for name in sides}


def _by_kernel(numbered: Numbered, events: Sequence[Mapping[str, Any]]) -> dict[Kernel, float]:
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        name = str(event["name"])
        if event.get("cat") == "Node" and name.endswith(TIMED):
            times[name.removesuffix(TIMED), event["args"]["op_name"]].append(event["dur"])
    found: dict[Kernel, float] = defaultdict(float)
    for (name, operator), durations in times.items():
        found[numbered.kernel(name, operator)] += median(durations[WARM_UP_CALLS:])
    return dict(found)
