"""``gc``, ``du``, ``verify``, ``export-run``, ``import-run``: what stays, what goes, what is told of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelpress.artifacts.report import put_report
from modelpress.cli.options import parse_duration
from modelpress.client.tagging import tag
from modelpress.client.upkeep import open_keys, roots_of
from modelpress.engine.home import Home
from modelpress.engine.state import RunStatus
from modelpress.errors import InputError
from tests.unit.cli.homes import chain, done, submit, toys_client
from tests.unit.cli.terminal import Done, run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default home."""
    monkeypatch.setenv("MODELPRESS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Done:
    ended = run(capsys, *arguments)
    assert ended.code == code, ended.err
    return ended


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    return json.loads(told(capsys, *arguments, "--json", code=code).out)


def blob_path(root: Path, digest: str) -> Path:
    """Where a blob lies, past the store's port."""
    (found,) = (root / "store").rglob(digest.removeprefix("sha256:"))
    return found


def test_gc_keeps_tags_and_what_listed_runs_read_and_gave(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    run_id = done(root, chain(root, "ended", "a", "b"))
    with toys_client(root) as client:
        tag(client.store, "mine", put_report(client.store, {"kept": "by its tag"}))
        put_report(client.store, {"kept": "by nothing"})
        steps = client.get(run_id).state.steps
    foreseen = as_json(capsys, "gc", "--dry-run", "--grace", "0")
    assert foreseen["dry_run"]
    collected = as_json(capsys, "gc", "--grace", "0")
    assert collected["blobs"] == foreseen["blobs"]
    assert steps["a"].outputs["report"] in collected["blobs"], "an ended run keeps its outputs, not its steps'"
    assert collected["results"] == [steps["a"].key]
    assert as_json(capsys, "verify") == []
    assert told(capsys, "show", "mine").code == 0
    assert told(capsys, "show", f"{run_id}.report").code == 0


def test_a_run_that_has_not_ended_keeps_all_that_its_steps_made(root: Path) -> None:
    ended = done(root, chain(root, "ended", "a", "b"))
    with toys_client(root) as client:
        state = client.get(ended).state
    made, given = (state.steps[step].outputs["report"] for step in ("a", "b"))
    keys = {step.key for step in state.steps.values()}
    running = state.model_copy(update={"status": RunStatus.RUNNING, "outputs": {}})
    assert (roots_of(state), open_keys([state])) == ((given,), frozenset())
    assert set(roots_of(running)) == {made, given}
    assert open_keys([state, running]) == keys


def test_young_things_stay_and_that_is_said(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    with toys_client(root) as client:
        put_report(client.store, {"kept": "by its age"})
    shown = told(capsys, "gc").out
    assert "freed 0 B: nothing to free" in shown
    assert "only because they are younger than 1d" in shown
    assert "would free" in told(capsys, "gc", "--dry-run", "--grace", "0").out
    assert told(capsys, "gc", "--grace", "0").out.startswith("freed ")


def test_a_short_grace_is_refused_while_something_drives(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    with toys_client(root), Home(root).driving():
        ended = told(capsys, "gc", "--grace", "5m", code=2)
        assert "drives this home" in ended.err
        assert told(capsys, "gc", "--grace", "5m", "--dry-run").code == 0
        assert told(capsys, "gc", "--grace", "10m").code == 0


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "-1d", "1w", "1e9", "nan", "1 d", "١d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InputError, match="30m or 1d"):
        parse_duration(text)


def test_du_counts_by_kind_and_keeper(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    run_id = done(root, chain(root, "ended", "a", "b"))
    with toys_client(root) as client:
        tag(client.store, "mine", put_report(client.store, {"kept": "by its tag"}))
        client.artifact(f"{run_id}.report")
    found = as_json(capsys, "du")
    assert {share["keeper"] for share in found["shares"]} == {"tag", "run", "cache"}
    assert found["total_bytes"] == sum(share["size_bytes"] for share in found["shares"])
    assert "a tag leads to it" in told(capsys, "du").out


def test_verify_names_what_is_damaged_and_what_to_do(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    run_id = done(root, chain(root, "ended", "a"))
    assert "every blob is whole" in told(capsys, "verify").out
    with toys_client(root) as client:
        given = client.artifact("last.report")
        assert given.name == f"{run_id}.report", "what it is called in messages and tables"
        digest = given.manifest().layers[0].digest
    path = blob_path(root, digest)
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    shown = told(capsys, "verify", code=1).out
    assert f"run {run_id}" in shown
    assert "corrupt" in shown
    (damage,) = as_json(capsys, "verify", code=1)
    assert (damage["blob"], damage["problem"], damage["runs"]) == (digest, "missing", [run_id])
    assert f"resume the run {run_id}" in damage["advice"]


def test_a_run_moves_to_another_home_as_a_file(capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path) -> None:
    run_id = done(root, chain(root, "ended", "a", "b"))
    file = tmp_path / "run.tar"
    assert f"wrote {file}" in told(capsys, "export-run", "last", str(file)).out
    there = ("--home", str(tmp_path / "there"))
    for _ in range(2):
        assert as_json(capsys, "import-run", str(file), *there) == {"run_id": run_id}
    brought = as_json(capsys, "get", run_id, *there)
    assert brought == as_json(capsys, "get", run_id)
    assert told(capsys, "logs", run_id, *there).out == told(capsys, "logs", run_id).out
    assert as_json(capsys, "verify", *there) == []
    assert [path.name for path in (tmp_path / "there" / "logs").iterdir()] == [run_id]


def test_what_cannot_be_moved_is_the_users_mistake(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    waiting = submit(root, chain(root, "waits", "a"))
    assert "is submitted" in told(capsys, "export-run", waiting, str(tmp_path / "x.tar"), code=2).err
    assert not (tmp_path / "x.tar").exists()
    assert "cannot read" in told(capsys, "import-run", str(tmp_path / "x.tar"), code=2).err
    (tmp_path / "x.tar").write_bytes(b"no archive")
    assert "cannot be imported" in told(capsys, "import-run", str(tmp_path / "x.tar"), code=2).err
