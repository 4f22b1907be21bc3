from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelpress.worker import logs
from modelpress.worker.logs import StepLog, last_words


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "step.log"


def test_notes_are_lines_at_the_end(path: Path) -> None:
    path.write_text("the child's\n")
    StepLog(path).note("ours: ü")
    assert path.read_text(encoding="utf-8") == "the child's\nours: ü\n"


def test_last_words_are_this_attempts(path: Path) -> None:
    assert StepLog(path).last_words() == ""
    path.write_text("an earlier attempt's\n")
    log = StepLog(path)
    assert log.last_words() == ""
    log.note("first")
    log.note("  second  ")
    log.note("")
    assert log.last_words() == "second"


def test_last_words_of_one_huge_line_are_its_end(path: Path) -> None:
    path.write_bytes(b"x" * 10**6 + "ü!".encode())
    words = last_words(path)
    assert len(words) == 300
    assert words.endswith("xü!")


def test_bytes_that_are_no_text_are_no_obstacle(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\n")
    assert last_words(path) == "\ufffd\ufffd"


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 16_000)
    monkeypatch.setattr(logs, "KEPT_BYTES", 1_000)


@pytest.mark.usefixtures("_small")
def test_a_log_within_bounds_stays_as_it_is(path: Path) -> None:
    path.write_bytes(b"x" * 16_000)
    StepLog(path).limit()
    assert path.read_bytes() == b"x" * 16_000


@pytest.mark.usefixtures("_small")
def test_a_log_that_grew_too_large_keeps_its_ends_and_says_what_is_gone(path: Path) -> None:
    path.write_bytes(b"a" * 1_000 + b"b" * 98_000 + b"c" * 1_000)
    log = StepLog(path)
    log.limit()
    note = b"\n[... 0.1 MB of this log were dropped here ...]\n"
    assert path.read_bytes() == b"a" * 1_000 + note + b"c" * 1_000


@pytest.mark.usefixtures("_small")
def test_the_writer_goes_on_after_a_limit_and_the_next_counts_all(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    log = StepLog(path)
    try:
        for letter in (b"a", b"b", b"c"):
            os.write(handle, letter * 1_000_000)
            log.limit()
        os.write(handle, b"the end\n")
    finally:
        os.close(handle)
    content = path.read_bytes()
    assert content.startswith(b"a" * 1_000 + b"\n[... 3.0 MB of this log were dropped here ...]\n" + b"c" * 1_000)
    assert content.endswith(b"the end\n")
    assert len(content) < 3_000


@pytest.mark.usefixtures("_small")
def test_a_log_that_nobody_wrote_to_is_within_bounds(path: Path) -> None:
    StepLog(path).limit()
    assert not path.exists()
