"""Moments, processes and contestants of the benchmarks `kill` and `overhead`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.engine.contestant import Contestant
from benchmarks.engine.processes import children_of, is_alive, kill, wait_for
from benchmarks.kill import drawn
from benchmarks.overhead import Timing, best, compared

PROGRAM = """
import sys
from benchmarks.engine.serve import serve

def double(value):
    print("a library prints")
    return [2.0 * value]

def die():
    print("last words", file=sys.stderr)
    sys.exit(3)

serve({"double": double, "die": die})
"""


def test_moments_are_drawn_evenly_and_again_the_same() -> None:
    moments = drawn(10.0, 20, random.Random(1))
    assert [int(moment / 0.5) for moment in sorted(moments)] == list(range(20))
    assert moments == drawn(10.0, 20, random.Random(1)) != sorted(moments)


def test_a_child_is_seen_until_it_is_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.pid in children_of(os.getpid())
    assert is_alive(child.pid)
    kill([child.pid])
    assert wait_for(lambda: not is_alive(child.pid), time.monotonic() + 30)
    assert child.pid not in children_of(os.getpid())
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    kill([child.pid])


def test_waiting_ends() -> None:
    assert not wait_for(lambda: False, time.monotonic())


def test_a_contestant_answers_whatever_a_library_prints(tmp_path: Path) -> None:
    with Contestant([sys.executable, "-c", PROGRAM], tmp_path) as contestant:
        assert contestant.ask("double", value=21) == [42.0]
        assert contestant.ask("double", value=1) == [2.0]


def test_a_contestant_that_dies_tells_why(tmp_path: Path) -> None:
    died = pytest.raises(RuntimeError, match=r"(?s)code 3 when asked for die.*last words")
    with Contestant([sys.executable, "-c", PROGRAM], tmp_path) as contestant, died:
        contestant.ask("die")


def test_the_best_of_two_forms_is_taken_round_by_round() -> None:
    slow, fast = [Timing(4.0, 100.0), Timing(2.0, 300.0)], [Timing(3.0, 50.0), Timing(5.0, 400.0)]
    assert best([slow, fast]) == [Timing(3.0, 100.0), Timing(2.0, 400.0)]


def test_ratios_are_taken_within_each_round_against_the_faster_form() -> None:
    timings = {
        "ours-power": [Timing(1.0, 600.0), Timing(4.0, 300.0)],
        "ours-process": [Timing(1.0, 600.0), Timing(1.0, 600.0)],
        "dbos-shipped-power": [Timing(4.0, 200.0), Timing(8.0, 100.0)],
        "dbos-wal-power": [Timing(2.0, 300.0), Timing(8.0, 50.0)],
        "dbos-wal-process": [Timing(2.0, 300.0), Timing(2.0, 300.0)],
        "luigi-power": [Timing(2.0, 300.0), Timing(8.0, 300.0)],
        "luigi-process": [Timing(2.0, 300.0), Timing(2.0, 300.0)],
    }
    figures = compared(timings)
    assert figures["chain_ratio_to_dbos"].spread == (0.5, 0.5)
    assert figures["fanout_ratio_to_dbos"].spread == (2.0, 3.0)
    assert figures["fanout_ratio_to_dbos"].value == 2.5
    assert figures["chain_ratio_to_luigi_process"].value == 0.5
    assert figures["dbos_shipped_power_chain_ms_per_step"].spread == (4.0, 8.0)
