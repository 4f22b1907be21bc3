"""The wheel is whole: in an environment that holds it and its dependencies only, the product works."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel unpacked, and the dependencies of ours on its path, but not our checkout.

    A ``.pth`` line adds a folder without following the ``.pth`` files in it, so the editable install stays out.
    """
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=False)
    site = next((home / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def run(bare: Path, cwd: Path, *arguments: str, **environment: str) -> str:
    # -P and -E: neither the current folder nor PYTHONPATH may lend the checkout.
    command = [str(bare / "bin" / "python"), "-P", "-m", "modelpress", *arguments]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_code_and_data_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.partition("/")[0].partition("-")[0] for n in names}
    assert {t for t in tops if not t.startswith("modelpress")} == set()
    assert {
        "modelpress/recipes/slim-distill-int8.yaml",
        "modelpress/demo/weights.safetensors",
        "modelpress/demo/baselines.json",
        "modelpress/graph/FORMAT.md",
    } <= set(names)


def test_recipes_from_the_wheel(bare: Path, tmp_path: Path) -> None:
    assert "slim-distill-int8" in run(bare, tmp_path, "recipes")


@pytest.mark.slow
def test_the_quick_demo_from_the_wheel(bare: Path, tmp_path: Path) -> None:
    output = run(bare, tmp_path, "demo", "--quick", MODELPRESS_HOME=str(tmp_path / "home"))
    assert "this pipeline" in output
    assert list(tmp_path.rglob("*.html"))
