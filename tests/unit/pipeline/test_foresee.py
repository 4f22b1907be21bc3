"""Which steps a run would find in the cache."""

from __future__ import annotations

from modelpress.pipeline.foresee import foreseen
from modelpress.pipeline.keys import step_key
from modelpress.pipeline.plan import Plan
from tests.unit.pipeline.fakes import INT8, PACK, SLIM, plan_of, step

INPUTS = {"model": "sha256:m", "data": "sha256:d"}
PLAN = plan_of(SLIM, INT8, PACK, step("speed", "hardware-profiler/latency"))


def key(plan: Plan, step_id: str, inputs: dict[str, str | tuple[str, ...]], threads: int = 2) -> str:
    planned = plan.step(step_id)
    return step_key("default", planned.uses, planned.version, planned.params, inputs, plan.seed, threads)


def told(plan: Plan, results: dict[str, dict[str, str]], threads: int = 2) -> dict[str, str]:
    return dict(foreseen(plan, INPUTS, "default", threads, results.get))


SLIM_KEY = key(PLAN, "slim", {"model": "sha256:m", "data": "sha256:d"})
INT8_KEY = key(PLAN, "int8", {"model": "sha256:slim", "data": "sha256:d"})


def test_with_an_empty_cache_only_the_first_is_sure_to_run() -> None:
    assert told(PLAN, {}) == {"slim": "runs", "int8": "unknown", "pack": "unknown", "speed": "unknown"}


def test_hits_are_followed() -> None:
    results = {SLIM_KEY: {"model": "sha256:slim"}, INT8_KEY: {"model": "sha256:int8"}}
    assert told(PLAN, results) == {"slim": "cached", "int8": "cached", "pack": "runs", "speed": "unknown"}


def test_threads_are_the_steps_own_where_it_asks() -> None:
    results = {SLIM_KEY: {"model": "sha256:slim"}}
    assert told(PLAN, results, threads=1)["slim"] == "runs"
    asks = plan_of(SLIM | {"resources": {"cores": 2}})
    assert told(asks, results, threads=1) == {"slim": "cached"}


def test_what_a_condition_decides_is_unknown_unless_it_is_there() -> None:
    check = step("check", "evaluator/classification", inputs={"reference": "inputs.model"})
    plan = plan_of(PACK, check, SLIM | {"when": {"check.top1": "> 1"}})
    assert told(plan, {})["slim"] == "unknown"
    assert told(plan, {SLIM_KEY: {"model": "sha256:slim"}})["slim"] == "cached"


def test_several_for_one_port_keep_their_order() -> None:
    other = step("other", "quantizer/package", inputs={"model": "inputs.model"}, **{"with": {"format": "onnx"}})
    plan = plan_of(
        SLIM, PACK, other, step("s", "evaluator/select", inputs={"packages": ["other.package", "pack.package"]})
    )
    results = {
        SLIM_KEY: {"model": "sha256:slim"},
        key(plan, "pack", {"model": "sha256:slim", "data": "sha256:d"}): {"package": "sha256:p"},
        key(plan, "other", {"model": "sha256:m", "data": "sha256:d"}): {"package": "sha256:o"},
        key(plan, "s", {"packages": ("sha256:o", "sha256:p"), "data": "sha256:d"}): {"package": "sha256:p"},
    }
    assert set(told(plan, results).values()) == {"cached"}
    reverse = plan_of(
        SLIM, PACK, other, step("s", "evaluator/select", inputs={"packages": ["pack.package", "other.package"]})
    )
    assert told(reverse, results)["s"] == "runs"


def test_one_that_may_be_skipped_leaves_open_what_reads_several() -> None:
    """Those that were not skipped are read: which they are, only the run tells."""
    check = step("check", "evaluator/classification", inputs={"reference": "inputs.model"})
    guarded = step("other", "quantizer/package", inputs={"model": "inputs.model"}, when={"check.top1": "> 1"})
    chosen = step("s", "evaluator/select", inputs={"packages": ["pack.package", "other.package"]})
    plan = plan_of(PACK, check, guarded, chosen)
    results = {key(plan, "pack", {"model": "sha256:m", "data": "sha256:d"}): {"package": "sha256:p"}}
    both = ("sha256:p", "sha256:p")
    results[key(plan, "s", {"packages": both, "data": "sha256:d"})] = {"package": "sha256:p"}
    assert told(plan, results) == {"pack": "cached", "check": "runs", "other": "cached", "s": "unknown"}
