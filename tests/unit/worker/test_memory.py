from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from modelpress.worker import memory

GB = 10**9


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 GB whose files about control groups lie below the path."""
    root = tmp_path / "cgroup"
    (root / "pods" / "one").mkdir(parents=True)
    (root / "memory" / "docker").mkdir(parents=True)
    monkeypatch.setattr(memory, "_ROOT", root)
    monkeypatch.setattr(memory, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=64 * GB))
    return root


def test_without_a_limit_it_is_the_machines(root: Path) -> None:
    assert memory.available_bytes() == 64 * GB
    (root.parent / "membership").write_text("0::/pods/one\n")
    (root / "pods" / "one" / "memory.max").write_text("max\n")
    assert memory.available_bytes() == 64 * GB


@pytest.mark.parametrize("group", ["pods/one", "pods", "."])
def test_the_lowest_limit_of_all_groups_around_counts(root: Path, group: str) -> None:
    (root.parent / "membership").write_text("0::/pods/one\n")
    (root / "memory.max").write_text(f"{8 * GB}\n")
    (root / group / "memory.max").write_text(f"{2 * GB}\n")
    assert memory.available_bytes() == 2 * GB


def test_the_first_version_of_control_groups_counts_too(root: Path) -> None:
    (root.parent / "membership").write_text("5:cpu,cpuacct:/docker\n3:memory:/docker\n")
    (root / "memory" / "docker" / "memory.limit_in_bytes").write_text(f"{3 * GB}\n")
    assert memory.available_bytes() == 3 * GB


def test_a_limit_above_the_machine_is_none(root: Path) -> None:
    (root.parent / "membership").write_text("3:memory:/docker\n")
    (root / "memory" / "docker" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory.available_bytes() == 64 * GB
