"""Whether a model can be x-rayed in the memory that is there, told before anything large is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from modelpress.errors import InputError
from modelpress.graph.model import BATCH, Model
from modelpress.graph.shapes import fake_values
from modelpress.report import format as fmt

COPIES_OF_WEIGHTS = 8.0
"""The module and its graph with gradients of both when they are compared, what the exporter holds meanwhile, and the
sessions of all candidates with their files. (A whole x-ray of ResNet-50, weights of 102 MB, peaked at 2.0 GB.)"""
COPIES_OF_ACTIVATIONS = 3.5
"""A session keeps the memory of its largest call: widths of 1, 3/4, 1/2 and 1/4, each in floats and in bytes."""
MEMINFO = Path("/proc/meminfo")
CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def check_weights(weight_bytes: int, free_bytes: int | None) -> None:
    """Refuse a model whose candidates cannot be held.

    Raises:
        InputError: more is needed than is free; says the figures.
    """
    needed = int(COPIES_OF_WEIGHTS * weight_bytes)
    if free_bytes is not None and needed > free_bytes:
        raise InputError(
            f"too large for this machine: weights of {fmt.size(weight_bytes)} take about {fmt.size(needed)} to build "
            f"and hold all candidates, and {fmt.size(free_bytes)} are free"
        )


def fitting_batches(
    model: Model, batches: tuple[int, ...], weight_bytes: int, free_bytes: int | None
) -> tuple[tuple[int, ...], list[str]]:
    """The batches whose activations fit beside the weights, and a warning for each other.

    Raises:
        InputError: not even the smallest fits; says the figures.
    """
    if free_bytes is None:
        return batches, []
    left = free_bytes - int(COPIES_OF_WEIGHTS * weight_bytes)
    needed = {batch: int(COPIES_OF_ACTIVATIONS * peak_bytes(model, batch)) for batch in batches}
    told = {
        batch: f"activations of batch {batch} take about {fmt.size(n)} in all candidates, and {fmt.size(max(left, 0))} "
        "are free beside the weights"
        for batch, n in needed.items()
    }
    fit = tuple(batch for batch in batches if needed[batch] <= left)
    if not fit:
        raise InputError(f"too large for this machine: {told[min(batches)]}; try a smaller --batch")
    return fit, [f"batch {batch} is left out: {told[batch]}" for batch in batches if batch not in fit]


def peak_bytes(model: Model, batch: int) -> int:
    """The most that is alive at once in a call with ``batch`` samples, each value freed after its last reader."""
    values = fake_values(model, **{BATCH: batch})
    last = {tensor: i for i, node in enumerate(model.module.graph.nodes) for tensor in _read(node, values)}
    alive: dict[int, int] = {}
    peak = 0
    for i, node in enumerate(model.module.graph.nodes):
        if node.op not in ("get_attr", "output"):
            alive.update((_storage(t), t.untyped_storage().nbytes()) for t in _tensors(values[node]))
        peak = max(peak, sum(alive.values()))
        alive = {storage: size for storage, size in alive.items() if last.get(storage, -1) > i}
    return peak


def _read(node: fx.Node, values: dict[fx.Node, Any]) -> Iterator[int]:
    return (_storage(tensor) for source in node.all_input_nodes for tensor in _tensors(values[source]))


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor))


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def free_bytes() -> int | None:
    """What this process may still take: of the machine and of its control group; None where neither tells."""
    found = [n for n in (_free_of_machine(), *(_free_of_group(*paths) for paths in CGROUPS)) if n is not None]
    return min(found, default=None)


def _free_of_machine() -> int | None:
    if not MEMINFO.is_file():
        return None
    fields = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _free_of_group(limit: Path, used: Path) -> int | None:
    if not (limit.is_file() and used.is_file()) or not limit.read_text().strip().isdecimal():
        return None
    return max(0, int(limit.read_text()) - int(used.read_text()))
