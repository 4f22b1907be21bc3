"""The dense model layer by layer: what each costs, and how long it takes there and in the candidate beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from modelpress.graph.costs import LayerCost
from modelpress.graph.model import Model
from modelpress.xray.findings import LayerFinding
from modelpress.xray.kernels import Kernel

RUNTIME = "runtime"
"""Type of the rows of what the runtime itself adds: changes of layout, and of number format."""


def layer_findings(
    model: Model, rows: Sequence[LayerCost], dense: Mapping[Kernel, float], best: Mapping[Kernel, float]
) -> tuple[LayerFinding, ...]:
    """Leaf modules by their paths in graph order, then operators by name, each with the times of its kernels.

    A norm that is folded into the layer before it has no kernel, so no time.
    """
    leaves = {path for path, _ in model.leaves()}
    found = {finding.path: finding for finding in _merged(rows, leaves)}
    dense_us, best_us = _by_path(dense, set(found)), _by_path(best, set(found))
    for path in (*dense_us, *best_us):
        found.setdefault(path, LayerFinding(path, RUNTIME, (), 0, 0, 0, 0))
    return tuple(
        replace(finding, dense_us=dense_us.get(path), best_us=best_us.get(path)) for path, finding in found.items()
    )


def _merged(rows: Sequence[LayerCost], leaves: set[str]) -> Iterable[LayerFinding]:
    """Leaves one by one; operators together, by their name."""
    keyed = [(row.path if row.path in leaves else row.type, row) for row in rows]
    order = {key: i for i, (key, row) in reversed(list(enumerate(keyed)))}
    ranked = sorted(keyed, key=lambda pair: (pair[0] not in leaves, order[pair[0]]))
    for key, group in groupby(ranked, key=lambda pair: pair[0]):
        same = [row for _, row in group]
        yield LayerFinding(
            path=key,
            type=same[0].type,
            shape=same[0].shape,
            parameters=sum(row.parameters for row in same),
            macs=sum(row.macs for row in same),
            weight_bytes=sum(row.weight_bytes for row in same),
            activation_bytes=sum(row.activation_bytes for row in same),
        )


def _by_path(kernels: Mapping[Kernel, float], known: set[str]) -> dict[str, float]:
    """Times by what of the model they are spent on; else by the runtime's operator."""
    found: dict[str, float] = {}
    for kernel, us in kernels.items():
        path = kernel.origin if kernel.origin in known else kernel.operator
        found[path] = found.get(path, 0.0) + us
    return found
