"""What costs promise of any network, as checks that tests run alike; torch's own counter is the oracle."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from modelpress.graph.costs import LayerCost, costs, totals
from modelpress.testing.format import Case


def counted_macs(call: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Multiply-accumulates of a call as ``torch.utils.flop_counter`` counts them, at two operations for each.

    It has no formula for the CPU's fused attention and oneDNN's LSTM, so they are done step by step here.
    """
    with _step_by_step(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        call(*args, **kwargs)
    return int(counter.get_total_flops()) // 2


@contextmanager
def _step_by_step() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TF32 acceleration", UserWarning)  # flags() sets an option that warns
        with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            yield


def macs_are_what_torch_counts(case: Case) -> str:
    """On the user's own module, for one sample."""
    found = totals(costs(case.model)).macs
    expected = counted_macs(case.net, **case.inputs(batch=1)[0])
    return "" if found == expected > 0 else f"{found} multiply-accumulates instead of {expected}"


def all_that_is_stored_is_counted_once(case: Case) -> str:
    """Each parameter and each byte of the graph's module, tied ones once."""
    module, total = case.model.module, totals(costs(case.model))
    parameters = sum(p.numel() for p in module.parameters())
    stored = sum(t.nbytes for t in (*module.parameters(), *module.buffers()))
    if (total.parameters, total.weight_bytes) == (parameters, stored):
        return ""
    return f"{total.parameters} of {parameters} parameters, {total.weight_bytes} of {stored} bytes"


def activations_are_all_that_is_written(case: Case) -> str:
    """Twice the batch writes more, never fewer bytes, and changes no weight."""
    one, two = (totals(costs(case.model, batch=batch)) for batch in (1, 2))
    if not any("batch" in spec.shape for spec in case.model.inputs):
        return "" if one == two else "a batch that no input has changes the costs"
    return _unless(one.activation_bytes < two.activation_bytes <= 2 * one.activation_bytes, one, two)


def _unless(holds: bool, one: LayerCost, two: LayerCost) -> str:
    return "" if holds else f"{one.activation_bytes} bytes for one sample, {two.activation_bytes} for two"


CHECKS: Mapping[str, Callable[[Case], str]] = {
    check.__name__.replace("_", " "): check
    for check in (macs_are_what_torch_counts, all_that_is_stored_is_counted_once, activations_are_all_that_is_written)
}
