"""Commands that record, list, read, end and forget runs, on a home of toys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.homes import chain, done, submit, toys_client
from tests.unit.cli.terminal import Done, run, toys_pipeline, toys_plugin


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, the default home in it, and the toys among the methods."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELPRESS_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(toys_plugin(tmp_path)))
    return tmp_path


@pytest.fixture
def root(folder: Path) -> Path:
    return folder / "home"


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Done:
    ended = run(capsys, *arguments)
    assert ended.code == code, ended.err
    return ended


def test_submit_records_and_says_that_nothing_drives(
    capsys: pytest.CaptureFixture[str], folder: Path, root: Path
) -> None:
    step = f"  - {{id: last, uses: toys/emit, with: {{name: x, journal: {folder / 'journal'}}}}}"
    file = str(toys_pipeline(folder, "one", step))
    first = told(capsys, "submit", file, "--priority", "5")
    run_id = first.out.split()[1]
    assert f"nothing drives this home now: modelpress resume {run_id} does" in first.err
    second = json.loads(told(capsys, "submit", file, "--json").out)
    assert second["run_id"] != run_id, "each is a run of its own"
    assert second["driver_pid"] is None
    state = json.loads(told(capsys, "get", run_id, "--json").out)
    listed, _ = json.loads(told(capsys, "list", "--json").out)
    assert listed.keys() <= state.keys(), "a list of runs has no names of its own"
    assert (state["status"], state["priority"]) == ("submitted", 5)
    assert not (folder / "journal").exists()


def test_list_is_newest_first_and_can_be_narrowed(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    ended = done(root, chain(root, "ended", "a"))
    waiting = [submit(root, chain(root, f"waits{number}", "a", "b")) for number in range(3)]
    listed = [entry["run_id"] for entry in json.loads(told(capsys, "list", "--json").out)]
    assert set(listed) == {ended, *waiting}
    times = [entry["submitted_s"] for entry in json.loads(told(capsys, "list", "--json").out)]
    assert times == sorted(times, reverse=True)
    assert json.loads(told(capsys, "list", "--json", "--limit", "2").out)[-1]["run_id"] == listed[1]
    narrowed = told(capsys, "list", "--status", "succeeded").out
    assert ended in narrowed
    assert waiting[0] not in narrowed
    both = told(capsys, "list", "--status", "succeeded", "--status", "submitted", "--limit", "1").out
    assert "3 older: --limit 4 shows all" in both
    assert "0 of 2 steps" in told(capsys, "list").out


def test_an_unknown_status_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'succeeded'?" in told(capsys, "list", "--status", "suceeded", code=2).err


def test_get_and_logs_of_an_ended_run(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    run_id = done(root, chain(root, "ended", "a", "b"))
    shown = told(capsys, "get", "last").out
    assert all(text in shown for text in (run_id, "✓  a", "✓  b", "The pipeline finished."))
    assert "ended-a works" in told(capsys, "logs", run_id, "a").out
    assert set(json.loads(told(capsys, "logs", run_id[:-1], "--json").out)) == {"a", "b"}
    followed = told(capsys, "logs", "-f", run_id).out
    assert followed.startswith("--- a\nended-a writes")
    assert "--- b\n" in followed
    assert "known: a, b" in told(capsys, "logs", run_id, "zzz", code=2).err
    assert "leave --json or --follow out" in told(capsys, "logs", run_id, "-f", "--json", code=2).err


def test_watch_of_an_ended_run_tells_what_came_out(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    done(root, chain(root, "ended", "a"))
    watched = told(capsys, "watch", "last")
    assert "a: succeeded" in watched.err
    assert "The pipeline finished." in watched.out
    assert json.loads(told(capsys, "watch", "last", "--json").out)["status"] == "succeeded"


def test_cancel_ends_a_run_that_nothing_drives(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    run_id = submit(root, chain(root, "waits", "a"))
    assert f"run {run_id} is cancelled" in told(capsys, "cancel", run_id).out
    assert "has ended already: cancelled" in told(capsys, "cancel", run_id).out
    told(capsys, "watch", run_id, code=1)


def test_resume_goes_on_with_what_did_not_end_and_repeats_what_did(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    run_id = submit(root, chain(root, "waits", "a"))
    state = json.loads(told(capsys, "resume", run_id, "--json").out)
    assert (state["run_id"], state["status"]) == (run_id, "succeeded")
    again = json.loads(told(capsys, "resume", run_id, "--json").out)
    assert again["resumed_from"] == run_id
    assert again["steps"]["a"]["cached"]


def test_a_failed_run_exits_with_1_and_tells_the_step(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    submit(root, chain(root, "fails", "a", fault="data"))
    ended = told(capsys, "resume", "last", code=1)
    assert "Step a: " in ended.out
    assert "labels out of range" in ended.out
    assert "a: failed" in ended.err


def test_rm_forgets_ended_runs_only(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    ended, waiting = done(root, chain(root, "ended", "a")), submit(root, chain(root, "waits", "a", "b"))
    assert (root / "logs" / ended).is_dir()
    assert "cancel it first" in told(capsys, "rm", waiting, code=2).err
    assert f"removed {ended}" in told(capsys, "rm", ended).out
    assert [entry["run_id"] for entry in json.loads(told(capsys, "list", "--json").out)] == [waiting]
    assert not (root / "logs" / ended).exists()
    assert "there is no run" in told(capsys, "get", ended, code=2).err


def test_two_clients_of_one_home_in_one_process(root: Path) -> None:
    with toys_client(root) as one, toys_client(root) as other:
        run_id = one.engine.submit(chain(root, "shared", "a"), {})
        assert other.get(run_id).status == "submitted"
        other.get(run_id).wait(progress=False)
        assert one.get(run_id).succeeded


def test_a_plan_foresees_the_cache(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    journal = folder / "journal"
    steps = [
        f"  - {{id: {step}, uses: toys/emit, with: {{name: {step}, journal: {journal}}}}}" for step in ("first", "last")
    ]
    told(capsys, "run", str(toys_pipeline(folder, "short", steps[1])))
    longer = str(toys_pipeline(folder, "longer", "\n".join(steps)))
    planned = json.loads(told(capsys, "plan", longer, "--json").out)["steps"]
    assert {step["id"]: step["foreseen"] for step in planned} == {"first": "runs", "last": "cached"}
    assert "cached" in told(capsys, "plan", longer).out
