from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpress.artifacts.digest import is_digest
from modelpress.worker import fingerprint

CPUINFO = """processor\t: 0
model name\t: Test CPU 9000
flags\t\t: sse2 avx2 avx512f

processor\t: 1
model name\t: Other
"""


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO)
    monkeypatch.setattr(fingerprint, "_CPUINFO", path)
    fingerprint.target_fingerprint.cache_clear()
    yield path
    fingerprint.target_fingerprint.cache_clear()


def test_the_machine_is_its_first_processor(cpuinfo: Path) -> None:
    machine = fingerprint.machine()
    assert machine["cpu"] == "Test CPU 9000"
    assert machine["extensions"] == ["avx2", "avx512f", "sse2"]


def test_the_fingerprint_tells_machines_apart(cpuinfo: Path) -> None:
    here = fingerprint.target_fingerprint()
    assert is_digest(here)
    assert fingerprint.target_fingerprint() == here
    cpuinfo.write_text(CPUINFO.replace("avx512f", ""))
    fingerprint.target_fingerprint.cache_clear()
    assert fingerprint.target_fingerprint() != here


def test_a_system_without_that_file_still_has_a_machine(cpuinfo: Path) -> None:
    cpuinfo.unlink()
    machine = fingerprint.machine()
    assert machine["cpu"]
    assert machine["extensions"] == []


def test_provenance_is_json_and_names_no_host() -> None:
    found = fingerprint.provenance(threads=2)
    assert json.loads(json.dumps(found)) == found
    assert found["threads"] == 2
    assert found["versions"]["python"] == platform.python_version()
    assert found["machine"].keys() == {"system", "architecture", "cpu", "cores"}
