"""What made an artifact."""

from __future__ import annotations

import pytest

from modelpress.client.lineage import ancestry
from modelpress.client.run import Outputs
from modelpress.engine.state import RunStatus, StepState, StepStatus
from modelpress.errors import NotFoundError
from modelpress.pipeline.plan import PlannedStep
from tests.unit.report.samples import digest, run_state


def test_the_chain_leads_back_to_what_was_pushed() -> None:
    made = ancestry([run_state()], digest("pack.package"))
    assert [m.step.id for m in made] == ["pack", "int8", "recover", "slim"]
    assert made[-1].inputs["model"] == digest("inputs.model")
    assert made[0].as_record()["uses"] == "quantizer/package"


def test_a_step_that_chooses_among_packages_made_none_of_them() -> None:
    run = run_state()
    reads = {"packages": ("dense-pack.package", "pack.package")}
    choose = PlannedStep(id="choose", uses="evaluator/select", version=1, inputs=reads, outputs=("package",))
    state = StepState(id="choose", status=StepStatus.SUCCEEDED, outputs={"package": digest("pack.package")})
    plan = run.plan.model_copy(update={"steps": (*run.plan.steps, choose)})
    chosen = run.model_copy(update={"plan": plan, "steps": run.steps | {"choose": state}})
    assert ancestry([chosen], digest("pack.package"))[0].step.id == "pack"


def test_what_was_pushed_was_made_by_nothing() -> None:
    assert ancestry([run_state()], digest("inputs.model")) == []


def test_a_missing_output_says_why() -> None:
    failed = Outputs(run_state(status=RunStatus.FAILED, error="the disk"), {})
    with pytest.raises(NotFoundError, match="is failed and has no output 'model'"):
        failed["model"]
    with pytest.raises(NotFoundError, match="did you mean 'model'"):
        failed["modl"]
    with pytest.raises(NotFoundError, match=r"wait\(\) for it"):
        Outputs(run_state(status=RunStatus.SUBMITTED), {})["model"]
    assert "model" not in failed
