"""``dead-letters``: what failed or could not be read is listed, replayed, dropped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.homes import chain, done, send_garbage
from tests.unit.cli.terminal import run, toys_plugin


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default home: a step of it failed, a record of it cannot be read."""
    root = tmp_path / "home"
    monkeypatch.setenv("MODELPRESS_HOME", str(root))
    monkeypatch.syspath_prepend(str(toys_plugin(tmp_path)))
    done(root, chain(root, "sound", "a"))
    send_garbage(root)
    done(root, chain(root, "fails", "b", fault="value", fixed=str(tmp_path / "fixed")))
    return root


def letters(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run(capsys, "dead-letters", "--json").out)
    return found


def test_no_letters_are_no_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    home = ("--home", str(tmp_path / "empty"))
    assert run(capsys, "dead-letters", *home).out == "there are no dead letters\n"
    assert json.loads(run(capsys, "dead-letters", "list", "--json", *home).out) == []


def test_they_are_listed_with_what_they_are_about(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    shown = run(capsys, "dead-letters").out
    assert "step b of" in shown
    assert "a kernel's own error" in shown
    assert "record events/0@" in shown
    assert shown == run(capsys, "dead-letters", "list").out


def test_a_step_is_replayed_as_a_resumed_run(capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path) -> None:
    (letter,) = [found for found in letters(capsys) if found["command"]]
    replayed = json.loads(run(capsys, "dead-letters", "replay", str(letter["id"]), "--json").out)
    assert str(letter["id"]) not in {found["id"] for found in letters(capsys)}
    (tmp_path / "fixed").touch()
    state = json.loads(run(capsys, "resume", replayed["run_id"], "--json").out)
    assert (state["status"], state["resumed_from"]) == ("succeeded", letter["key"])


def test_a_record_is_sent_anew(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    (letter,) = [found for found in letters(capsys) if not found["command"]]
    assert "sent the record" in run(capsys, "dead-letters", "replay", str(letter["id"])).out
    assert str(letter["id"]) not in {found["id"] for found in letters(capsys)}
    done(root, chain(root, "another", "a"))
    again = [found for found in letters(capsys) if not found["command"]]
    assert [found["value"] for found in again] == [letter["value"]], "it cannot be read any better"


def test_one_or_all_are_dropped(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    first, *_ = letters(capsys)
    assert "dropped 1 letter\n" in run(capsys, "dead-letters", "drop", str(first["id"])).out
    assert len(letters(capsys)) == 1
    run(capsys, "dead-letters", "drop", "--all")
    assert letters(capsys) == []


def test_wrong_letters_are_the_users_mistake(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    first, *_ = letters(capsys)
    for words, hint in (
        (["drop"], "say --all"),
        (["drop", str(first["id"]), "--all"], "say --all"),
        (["drop", f"{first['id']}x"], f"did you mean '{first['id']}'?"),
        (["replay", "nothing"], "there is no dead letter 'nothing'"),
    ):
        ended = run(capsys, "dead-letters", *words)
        assert (ended.code, ended.out) == (2, "")
        assert hint in ended.err
    assert len(letters(capsys)) == 2
