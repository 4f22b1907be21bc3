"""What the page calls a gain: only what the whole interval says."""

from __future__ import annotations

from enum import StrEnum

from modelpress.xray.findings import Candidate, Latency, XRay


class Gain(StrEnum):
    FASTER = "faster"
    NONE = "no gain"
    SLOWER = "slower"


def gain(latency: Latency) -> Gain:
    """Faster or slower where the interval of the ratio does not include 1."""
    if latency.ratio_low > 1:
        return Gain.FASTER
    return Gain.SLOWER if latency.ratio_high < 1 else Gain.NONE


def fastest(xray: XRay, batch: int) -> Candidate | None:
    """The candidate of the largest ratio at ``batch``, of those that are faster than the dense model for certain."""
    found = [(one.ratio, c) for c in xray.candidates[1:] if (one := c.at(batch)) and gain(one) is Gain.FASTER]
    return max(found, key=lambda pair: pair[0])[1] if found else None
