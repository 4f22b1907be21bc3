"""The embedded engine on real files and processes, with toy methods."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.report import get_report, put_report
from modelpress.engine.driver import Engine
from modelpress.engine.events import Event, StepInterrupted, StepLogged, StepProgressed, StepStarted
from modelpress.engine.state import RunState, RunStatus, StepStatus
from modelpress.errors import HomeBusyError, InputError, NotFoundError
from modelpress.pipeline.plan import Plan
from tests.integration.homes import Toys, open_engine, plan


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with open_engine(tmp_path / "home") as engine:
        yield engine


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


def run(engine: Engine, plan: Plan, **inputs: Digest) -> RunState:
    return engine.drive(engine.submit(plan, inputs))


def blob_path(engine: Engine, digest: str) -> Path:
    return next(engine.home.root.rglob(digest.removeprefix("sha256:")))


def report_blob(engine: Engine, digest: str) -> str:
    """The blob that holds a report's content."""
    return get_manifest(engine.store, Digest(digest)).layers[0].digest


def test_a_run_does_each_step_once_in_order(engine: Engine, toys: Toys) -> None:
    state = run(engine, toys.diamond())
    assert state.status is RunStatus.SUCCEEDED
    assert toys.executed() == ["a", "b", "c", "d"]
    report = get_report(engine.store, Digest(state.outputs["report"]))
    assert report["left"]["source"] == report["right"]["source"] == {"name": "a", "value": 1.0, "seed": 0}
    assert state.steps["d"].metrics == {"value": 1.0}
    assert all(0 < s.started_s <= s.ended_s for s in state.steps.values())
    assert engine.get(state.run_id) == state


def test_a_second_run_executes_nothing(engine: Engine, toys: Toys) -> None:
    first = run(engine, toys.diamond())
    second = run(engine, toys.diamond())
    assert len(toys.executed()) == 4
    assert [s.cached for s in second.steps.values()] == [True] * 4
    assert not any(s.cached for s in first.steps.values())
    assert second.outputs == first.outputs
    assert second.steps["d"].metrics == first.steps["d"].metrics


def test_only_what_changed_is_computed(engine: Engine, toys: Toys) -> None:
    run(engine, toys.diamond())
    state = run(engine, toys.diamond(c={"value": 2.0}))
    assert toys.executed()[4:] == ["c", "d"]
    assert [s.id for s in state.steps.values() if s.cached] == ["a", "b"]


def test_another_seed_and_other_threads_are_other_results(tmp_path: Path, engine: Engine, toys: Toys) -> None:
    step = toys.step("a", "emit")
    run(engine, plan(step))
    state = run(engine, plan(step, seed=7))
    assert get_report(engine.store, Digest(state.outputs["report"]))["seed"] == 7
    with open_engine(tmp_path / "home", threads=2) as other:
        run(other, plan(step))
    assert toys.executed() == ["a"] * 3


def test_events_tell_progress_and_logs_and_both_are_kept(engine: Engine, toys: Toys) -> None:
    events: list[Event] = []
    run_id = engine.submit(plan(toys.step("n", "count")), {})
    engine.drive(run_id, events.append)
    told = [e for e in events if isinstance(e, StepProgressed)]
    assert (told[-1].done, told[-1].total, told[-1].metrics) == (4.0, 4.0, {"value": 3.0})
    assert engine.progress(run_id) == tuple(told)
    assert [e.type for e in events if not isinstance(e, StepProgressed)] == [
        "run-submitted",
        "step-granted",
        "step-started",
        "step-succeeded",
    ]


def test_what_a_kernel_prints_is_its_steps_log(engine: Engine, toys: Toys) -> None:
    events: list[Event] = []
    run_id = engine.submit(toys.diamond(), {})
    engine.drive(run_id, events.append)
    assert engine.logs(run_id, "b") == "b writes to standard output\nb works\n"
    assert [e.text for e in events if isinstance(e, StepLogged)] == ["a works", "b works", "c works", "d works"]
    with pytest.raises(NotFoundError, match="no step 'e'"):
        engine.logs(run_id, "e")


def test_a_run_records_where_it_ran(engine: Engine, toys: Toys) -> None:
    provenance = run(engine, plan(toys.step("a", "emit"))).provenance
    assert provenance["threads"] == 1
    assert provenance["versions"].keys() >= {"python", "modelpress", "torch", "numpy"}
    assert provenance["machine"]["cores"] >= 1
    assert provenance["worker"]["python"] == provenance["versions"]["python"]


def test_a_measurement_is_cached_for_its_target_only(
    engine: Engine, toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    pure, measured = plan(toys.step("p", "emit")), plan(toys.step("m", "measure"))
    for _ in range(2):
        run(engine, pure)
        run(engine, measured)
    monkeypatch.setattr("modelpress.worker.admission.target_fingerprint", lambda: "sha256:another-machine")
    run(engine, pure)
    run(engine, measured)
    assert toys.executed() == ["p", "m", "m"]


def test_a_refused_gate_ends_the_run_and_keeps_its_outputs(engine: Engine, toys: Toys) -> None:
    state = run(engine, toys.diamond(b={"gate": {"value": "<= 0.5"}}))
    assert state.status is RunStatus.REFUSED
    assert state.steps["b"].gates == {"value": False}
    assert state.steps["b"].outputs
    # c may run beside b; what needs b never does.
    assert state.steps["c"].status in (StepStatus.SKIPPED, StepStatus.SUCCEEDED)
    assert state.steps["d"].status is StepStatus.SKIPPED
    assert "d" not in toys.executed()


def test_a_kernels_error_fails_the_run_and_its_traceback_is_in_the_log(engine: Engine, toys: Toys) -> None:
    state = run(engine, toys.diamond(c={"fault": "value"}))
    assert state.status is RunStatus.FAILED
    assert state.error == "step 'c' failed: ValueError: a kernel's own error"
    log = engine.logs(state.run_id, "c")
    assert "Traceback" in log
    assert "in _fail" in log
    assert state.steps["d"].status is StepStatus.SKIPPED


def test_an_input_error_is_shown_as_it_is(engine: Engine, toys: Toys) -> None:
    state = run(engine, plan(toys.step("a", "emit", fault="data")))
    assert state.error == "step 'a' failed: labels out of range: 11 of 10 classes"


def test_a_kernel_that_breaks_its_promise_is_told_so(engine: Engine, toys: Toys) -> None:
    state = run(engine, plan(toys.step("a", "liar")))
    assert "the kernel returned [], its description promises ['report']" in state.error


@pytest.mark.parametrize("fault", ["full", "system-full"])
def test_a_full_disk_fails_the_run_and_a_resume_goes_on(engine: Engine, toys: Toys, fault: str, tmp_path: Path) -> None:
    fixed = tmp_path / "fixed"
    failed = run(engine, toys.diamond(b={"fault": fault, "fixed": str(fixed)}))
    assert failed.status is RunStatus.FAILED
    assert "no space" in failed.error.lower()
    assert f"modelpress resume {failed.run_id}" in failed.error
    fixed.touch()
    resumed = engine.drive(engine.resume(failed.run_id))
    assert (resumed.status, resumed.resumed_from) == (RunStatus.SUCCEEDED, failed.run_id)
    assert resumed.steps["a"].cached
    assert [name for name in toys.executed() if name != "c"] == ["a", "b", "b", "d"]
    assert engine.get(failed.run_id) == failed


def test_a_log_that_cannot_be_written_is_a_full_disk(engine: Engine, toys: Toys) -> None:
    run_id = engine.submit(plan(toys.step("a", "emit")), {})
    engine.home.log_path(run_id, "a").symlink_to("/dev/full")
    state = engine.drive(run_id)
    assert state.status is RunStatus.FAILED
    assert "no space is left" in state.error


def test_a_run_that_has_not_ended_is_resumed_by_itself(engine: Engine, toys: Toys) -> None:
    run_id = engine.submit(toys.diamond(), {})
    assert engine.resume(run_id) == run_id
    assert len(engine.runs()) == 1


@pytest.mark.parametrize("damage", ["missing", "cut", "manifest"])
def test_a_cache_hit_on_a_broken_artifact_is_none(engine: Engine, toys: Toys, damage: str) -> None:
    only = plan(toys.step("a", "emit"))
    first = run(engine, only)
    digest = first.outputs["report"]
    broken = digest if damage == "manifest" else report_blob(engine, digest)
    path = blob_path(engine, broken)
    path.write_bytes(b"!") if damage != "missing" else path.unlink()
    second = run(engine, only)
    assert toys.executed() == ["a", "a"]
    assert second.outputs == first.outputs
    assert get_report(engine.store, Digest(digest))["name"] == "a"
    assert f"{broken} of an earlier result" in engine.logs(second.run_id, "a")


def flip(path: Path) -> None:
    """Corrupt a file without changing its size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_corrupt_blob_that_a_step_made_is_made_again(engine: Engine, toys: Toys) -> None:
    first = run(engine, toys.diamond())
    made = first.steps["a"].outputs["report"]
    corrupt = report_blob(engine, made)
    flip(blob_path(engine, corrupt))
    events: list[Event] = []
    run_id = engine.submit(toys.diamond(c={"value": 2.0}), {})
    state = engine.drive(run_id, events.append)
    assert state.status is RunStatus.SUCCEEDED
    assert toys.executed()[4:] == ["a", "c", "d"]
    assert state.steps["a"].outputs["report"] == made
    assert get_report(engine.store, Digest(made))["name"] == "a"
    (interrupted,) = [event for event in events if isinstance(event, StepInterrupted)]
    assert (interrupted.step_id, interrupted.why) == ("c", "inputs")
    assert interrupted.broken == {"source": (corrupt,)}


def test_a_corrupt_input_of_the_run_fails_it_by_name(engine: Engine, toys: Toys) -> None:
    digest = put_report(engine.store, {"from": "the user"})
    corrupt = report_blob(engine, digest)
    flip(blob_path(engine, corrupt))
    step = toys.step("a", "copy", {"source": "inputs.data"})
    state = run(engine, plan(step, inputs={"data": "some/tag"}), data=digest)
    assert state.status is RunStatus.FAILED
    assert f"blob {corrupt} of the run's input 'data' is missing or corrupt: push it again" in state.error
    assert toys.executed() == []


def test_a_damaged_result_is_made_again(engine: Engine, toys: Toys) -> None:
    only = plan(toys.step("a", "emit"))
    key = run(engine, only).steps["a"].key
    next(engine.home.root.rglob(f"results/{key}")).write_text("{")
    state = run(engine, only)
    assert toys.executed() == ["a", "a"]
    assert f"results/{key} of an earlier result" in engine.logs(state.run_id, "a")


def test_a_home_has_one_driver(tmp_path: Path, engine: Engine) -> None:
    assert engine.driver_pid() is None
    with open_engine(tmp_path / "home") as other, other.home.driving():
        assert engine.driver_pid() == os.getpid()
        with pytest.raises(HomeBusyError, match=rf"process {os.getpid()} drives the home"), engine.home.driving():
            pass


def test_every_unfinished_run_is_driven_and_each_gets_its_share(engine: Engine, toys: Toys) -> None:
    old = engine.submit(plan(*(toys.step(f"o{n}", "emit", value=n) for n in range(9))), {})
    new = engine.submit(plan(toys.step("x", "emit"), toys.step("y", "copy", {"source": "x.report"})), {})
    engine.drive(new)
    assert len(toys.executed()) < 11
    assert engine.drive(old).status is RunStatus.SUCCEEDED
    assert sorted(toys.executed()) == [*(f"o{n}" for n in range(9)), "x", "y"]


def test_runs_of_one_second_are_told_apart(engine: Engine, toys: Toys) -> None:
    """A second run of the same name would be lost: with 16 random bits that befell 3 of 600 submitted in a row."""
    random_bits = 4 * len(engine.submit(toys.diamond(), {}).rpartition("-")[2])
    assert 1000**2 / 2 / 2**random_bits < 1e-3


def test_runs_are_found_by_the_beginning_of_their_id(engine: Engine, toys: Toys) -> None:
    ids = [engine.submit(plan(toys.step("a", "emit")), {}) for _ in range(2)]
    assert [state.run_id for state in engine.runs()] == ids[::-1]
    assert engine.get(ids[0][:-1]).run_id == ids[0] or ids[0][:-1] == ids[1][:-1]
    with pytest.raises(NotFoundError, match=f"several runs begin with '2': {ids[0]}, {ids[1]}"):
        engine.get("2")
    with pytest.raises(NotFoundError, match=f"no run '{ids[0]}x': did you mean '{ids[0]}'"):
        engine.get(f"{ids[0]}x")


def test_a_run_that_was_cancelled_before_it_started_does_nothing(engine: Engine, toys: Toys) -> None:
    run_id = engine.submit(toys.diamond(), {})
    assert engine.cancel(run_id).status is RunStatus.CANCELLED
    assert engine.drive(run_id).status is RunStatus.CANCELLED
    assert toys.executed() == []
    done = run(engine, plan(toys.step("a", "emit")))
    assert engine.cancel(done.run_id) == done


def test_cancel_while_a_step_runs_kills_it(engine: Engine, toys: Toys) -> None:
    run_id = engine.submit(toys.diamond(b={"wait_for": str(toys.release)}), {})

    def cancel_b(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step_id == "b":
            engine.cancel(run_id)

    state = engine.drive(run_id, cancel_b)
    assert state.status is RunStatus.CANCELLED
    assert (state.steps["a"].status, state.steps["b"].status) == (StepStatus.SUCCEEDED, StepStatus.CANCELLED)
    toys.release.touch()
    resumed = engine.drive(engine.resume(run_id))
    assert resumed.status is RunStatus.SUCCEEDED
    assert toys.executed().count("a") == 1


def test_what_cannot_be_submitted(engine: Engine, toys: Toys) -> None:
    copying = plan(toys.step("a", "copy", {"source": "inputs.data"}), inputs={"data": "tag"})
    with pytest.raises(InputError, match="inputs data of 'toys' have no digest"):
        engine.submit(copying, {})
    unknown = plan(toys.step("a", "emit").model_copy(update={"uses": "toys/emi"}))
    with pytest.raises(NotFoundError, match="did you mean 'toys/emit'"):
        engine.submit(unknown, {})
    assert engine.runs() == ()


def test_a_plan_of_another_version_is_not_run_as_this_one(engine: Engine, toys: Toys) -> None:
    state = run(engine, plan(toys.step("a", "emit").model_copy(update={"version": 2})))
    assert "'toys/emit' was planned as version 2, installed is 1: submit again" in state.error
    assert toys.executed() == []
