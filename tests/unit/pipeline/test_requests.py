"""Class, cores, memory and time that a step asks for."""

from __future__ import annotations

from typing import Any

import pytest

from modelpress.pipeline.render import render_plan
from modelpress.pipeline.validate import validate
from tests.unit.pipeline.fakes import CATALOGUE, PACK, SLIM, faults_of, pipeline, plan_of, step


@pytest.mark.parametrize(
    ("memory", "memory_mb"),
    [(300, 300), (0.5, 1), ("512MB", 512), ("4GB", 4000), ("1.5 GB", 1500), ("1GiB", 1074), ("2TB", 2_000_000)],
)
def test_memory(memory: object, memory_mb: int) -> None:
    assert plan_of(SLIM | {"resources": {"memory": memory}}).steps[0].memory_mb == memory_mb


@pytest.mark.parametrize(
    ("timeout", "timeout_s"), [(90, 90), (1.5, 1.5), ("90s", 90), ("30m", 1800), ("2 h", 7200), ("1d", 86400), ("7", 7)]
)
def test_timeout(timeout: object, timeout_s: float) -> None:
    assert plan_of(SLIM | {"timeout": timeout}).steps[0].timeout_s == timeout_s


def test_class_and_cores() -> None:
    asked = plan_of(SLIM | {"resources": {"class": "gpu", "cores": 4}}).steps[0]
    assert (asked.worker_class, asked.threads, asked.memory_mb, asked.timeout_s) == ("gpu", 4, None, None)


def test_what_is_not_asked_for_is_left_to_the_engine() -> None:
    step = plan_of(SLIM).steps[0]
    assert (step.worker_class, step.threads, step.memory_mb, step.timeout_s) == ("", None, None, None)


def test_measurements_are_alone() -> None:
    plan = plan_of(PACK, step("speed", "hardware-profiler/latency"))
    assert [planned.alone for planned in plan.steps] == [False, True]


def test_values_may_be_parameters() -> None:
    asked = SLIM | {"resources": {"cores": "${n}", "memory": "${gb}GB"}, "timeout": "${t}"}
    parameters = {"n": {"default": 2}, "gb": {"default": 3}, "t": {"default": "5m"}}
    planned = validate(pipeline(asked, parameters=parameters), CATALOGUE).steps[0]
    assert (planned.threads, planned.memory_mb, planned.timeout_s) == (2, 3000, 300)


def test_they_are_shown() -> None:
    asked = SLIM | {"resources": {"class": "gpu", "cores": 4, "memory": "4GB"}, "timeout": "30m"}
    text = render_plan(plan_of(asked), CATALOGUE)
    assert "needs   training, class gpu, 4 cores, 4,000 MB, at most 1800 s" in text


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"resources": {"memory": "4XB"}}, "resources.memory", "'XB' is no unit: known are MB"),
        ({"resources": {"memory": "4gb"}}, "resources.memory", "'gb' is no unit"),
        ({"resources": {"memory": "much"}}, "resources.memory", "'much' is no amount"),
        ({"resources": {"memory": 0}}, "resources.memory", "above zero"),
        ({"resources": {"memory": [1]}}, "resources.memory", "is no amount"),
        ({"resources": {"cores": 0}}, "resources.cores", "from 1 to 1024"),
        ({"resources": {"cores": 1.5}}, "resources.cores", "from 1 to 1024"),
        ({"resources": {"cores": True}}, "resources.cores", "from 1 to 1024"),
        ({"resources": {"class": "GPU"}}, "resources.class", "is no class of worker"),
        ({"resources": {"class": 3}}, "resources.class", "is no class of worker"),
        ({"timeout": -1}, "timeout", "above zero"),
        ({"timeout": True}, "timeout", "is no amount"),
        ({"timeout": float("nan")}, "timeout", "finite"),
        ({"timeout": 10**400}, "timeout", "too large"),
        ({"timeout": "5 minutes"}, "timeout", "'minutes' is no unit: known are s, m, h, d"),
    ],
)
def test_faults(change: dict[str, Any], path: str, message: str) -> None:
    assert message in faults_of(pipeline(SLIM | change))[f"steps[0].{path}"].message
