"""What a step asks for: a class of worker, cores, memory, time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypedDict

from modelpress.errors import InputError, Violation
from modelpress.pipeline.entries import StepSpec
from modelpress.pipeline.reader import NAME, shown

MAX_CORES = 1024
_MEGABYTES: Mapping[str, float] = {"MB": 1, "GB": 1000, "TB": 1_000_000, "MiB": 1.048576, "GiB": 1073.741824}
_SECONDS: Mapping[str, float] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([A-Za-z]*)\s*")


class Requests(TypedDict):
    """Fields of a `modelpress.pipeline.plan.PlannedStep`."""

    worker_class: str
    threads: int | None
    memory_mb: int | None
    timeout_s: float | None


def requests_of(step: StepSpec, found: list[Violation]) -> Requests:
    """What ``step``, its marks filled, asks for; faults go to ``found``."""
    path, asked = f"{step.path}.resources", step.resources
    return Requests(
        worker_class=_worker_class(asked.get("class"), f"{path}.class", found),
        threads=_cores(asked.get("cores"), f"{path}.cores", found),
        memory_mb=_whole(_amount(asked.get("memory"), _MEGABYTES, "512MB or 4GB", f"{path}.memory", found)),
        timeout_s=_amount(step.timeout, _SECONDS, "90 (seconds) or 30m", f"{step.path}.timeout", found),
    )


def parse_amount(value: Any, units: Mapping[str, float]) -> float:
    """``value``, a number or text such as ``"30m"``, in the unit whose factor in ``units`` is 1.

    Raises:
        InputError: it is neither, not above zero, or its unit is none of ``units``.
    """
    number, unit = value, ""
    if isinstance(value, str) and (match := _AMOUNT.fullmatch(value)):
        number, unit = float(match[1]), match[2]
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InputError(f"{shown(value)} is no amount")
    if unit and unit not in units:
        raise InputError(f"'{unit}' is no unit: known are {', '.join(units)}")
    amount = float(number) * units.get(unit, 1.0)
    if not math.isfinite(amount) or amount <= 0:
        raise InputError(f"must be above zero and finite, got {shown(value)}")
    return amount


def _amount(value: Any, units: Mapping[str, float], example: str, path: str, found: list[Violation]) -> float | None:
    if value is None:
        return None
    try:
        return parse_amount(value, units)
    except (InputError, OverflowError) as e:
        found.append(Violation(path, str(e), f"as in {example}"))
        return None


def _whole(megabytes: float | None) -> int | None:
    return None if megabytes is None else math.ceil(megabytes)


def _cores(value: Any, path: str, found: list[Violation]) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_CORES:
        found.append(Violation(path, f"must be a whole number from 1 to {MAX_CORES}, got {shown(value)}"))
        return None
    return value


def _worker_class(value: Any, path: str, found: list[Violation]) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        found.append(Violation(path, f"{shown(value)} is no class of worker", "as in cpu or gpu"))
        return ""
    return value
