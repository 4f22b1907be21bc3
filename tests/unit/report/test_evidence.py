"""What a run shows, recognised by methods and ports."""

from __future__ import annotations

from modelpress.engine.state import RunState, RunStatus, StepState, StepStatus
from modelpress.report.evidence import Role, candidates, verdict
from modelpress.report.facts import model_digest
from tests.unit.report.samples import PIPELINE, digest, facts, plan, run_state


def with_step(run: RunState, step_id: str, **changes: object) -> RunState:
    steps = {**run.steps, step_id: run.steps[step_id].model_copy(update=changes)}
    return run.model_copy(update={"steps": steps})


def test_original_result_and_baseline() -> None:
    found = candidates(run_state())
    assert [(c.role, c.label, c.source) for c in found] == [
        (Role.ORIGINAL, "original", "dense-pack.package"),
        (Role.RESULT, "this pipeline", "pack.package"),
        (Role.BASELINE, "plain ptq-int8", "plain-pack.package"),
    ]


def test_figures_of_the_reference_lose_their_prefix() -> None:
    original, result, _ = candidates(run_state())
    assert (original.get("top1"), result.get("top1")) == (92.61, 92.35)
    assert (original.get("latency_ms_b64"), result.get("latency_ms_b64")) == (9.3, 1.9)
    assert result.batches == [1, 64]


def test_steps_are_known_by_method_not_by_id() -> None:
    renamed = [{**s, "id": "judge" if s["id"] == "check" else s["id"]} for s in PIPELINE["steps"]]
    run = run_state(plan(steps=renamed))
    moved = run.steps["judge"].model_copy(update={"metrics": {"top1": 90.0, "reference_top1": 91.0}})
    found = candidates(run.model_copy(update={"steps": {**run.steps, "judge": moved}}))
    assert [c.get("top1") for c in found[:2]] == [91.0, 90.0]


CHOOSING = [
    {
        "id": "sweep",
        "matrix": {"sparsity": [0.3, 0.6]},
        "steps": [
            {"id": "slim", "uses": "pruner/network-slimming", "with": {"sparsity": "${sparsity}"}},
            {"id": "pack", "uses": "quantizer/package"},
            {"id": "check", "uses": "evaluator/classification", "inputs": {"reference": "dense.package"}},
        ],
    },
    {
        "id": "choose",
        "uses": "evaluator/select",
        "inputs": {"packages": "sweep.pack.package", "reference": "dense.package"},
    },
]


def chosen_run(outputs: dict[str, str]) -> RunState:
    """A run of two branches whose step ``choose`` took the second."""
    run = run_state(plan(steps=[{"id": "dense", "uses": "quantizer/package"}, *CHOOSING], outputs=outputs))
    for branch, top1 in ((1, 92.0), (2, 91.0)):
        run = with_step(run, f"sweep-{branch}-check", metrics={"top1": top1, "reference_top1": 93.0})
    return with_step(run, "choose", outputs={"package": digest("sweep-2-pack.package")})


def test_what_was_only_chosen_is_the_result_not_an_output_that_happens_to_be_measured() -> None:
    run = chosen_run({"package": "choose.package", "mildest": "sweep[1].pack.package"})
    assert [(c.role, c.label, c.source) for c in candidates(run)] == [
        (Role.ORIGINAL, "original", "dense.package"),
        (Role.RESULT, "this pipeline", "sweep-2-pack.package"),
        (Role.BASELINE, "plain network-slimming", "sweep-1-pack.package"),
    ]
    assert verdict(run) == "top-1 93.00 % → 91.00 % (−2.00 points)."


def test_without_outputs_the_one_that_was_measured_is_the_result() -> None:
    steps = [step for step in PIPELINE["steps"] if step["id"] != "plain-check"]
    found = candidates(run_state(plan(steps=steps, outputs={})))
    assert [(c.role, c.source) for c in found] == [
        (Role.ORIGINAL, "dense-pack.package"),
        (Role.RESULT, "pack.package"),
    ]


def test_the_original_is_never_the_result() -> None:
    found = candidates(chosen_run({"before": "dense.package", "package": "choose.package"}))
    assert [c.source for c in found if c.role is not Role.BASELINE] == ["dense.package", "sweep-2-pack.package"]


def test_branches_that_go_the_same_way_are_called_by_what_they_made() -> None:
    found = candidates(chosen_run({}))
    assert [c.label for c in found] == ["original", "sweep-1-pack.package", "sweep-2-pack.package"]


def test_a_run_without_measures_has_no_candidates() -> None:
    assert candidates(run_state(plan(steps=PIPELINE["steps"][:4]))) == []


def test_verdict_of_success() -> None:
    assert verdict(run_state()) == (
        "12.3× smaller, 4.90× faster at batch 64, 1.60× faster at batch 1, "
        "top-1 92.61 % → 92.35 % (−0.26 points). All 2 gates passed."
    )


def test_verdict_of_a_refused_gate_names_what_was_measured() -> None:
    gates = {"top1_drop_points": True, "size_ratio": False}
    run = with_step(run_state(status=RunStatus.REFUSED), "check", gates=gates, status=StepStatus.REFUSED)
    assert verdict(run).endswith("Refused: check wants size_ratio >= 10, measured 12.26.")


def test_verdict_of_a_failure_names_step_and_error() -> None:
    run = with_step(run_state(status=RunStatus.FAILED), "recover", status=StepStatus.FAILED, error="no memory")
    assert verdict(run) == "The run failed. Step recover: no memory"


def test_verdict_of_what_did_not_finish() -> None:
    assert "cancelled" in verdict(run_state(status=RunStatus.CANCELLED))
    assert "not finished" in verdict(run_state(status=RunStatus.RUNNING))


def test_sizes_and_parameters_come_from_manifests() -> None:
    found = facts()
    result = next(c for c in found.candidates if c.role is Role.RESULT)
    assert result.get("parameters") == 108
    assert result.get("size_bytes") == 57_344, "a measured figure goes before the manifest's"
    assert model_digest(found.run, result) == found.run.outputs["model"]


def test_what_is_gone_from_the_store_is_named() -> None:
    assert digest("slim.model") in facts().missing


def test_a_run_of_which_nothing_started() -> None:
    fresh = run_state(status=RunStatus.SUBMITTED)
    fresh = fresh.model_copy(update={"steps": {name: StepState(id=name) for name in fresh.steps}, "outputs": {}})
    assert candidates(fresh) == []
    assert "not finished" in verdict(fresh)
