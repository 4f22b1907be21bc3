"""What the shell offers: asked as bash asks, quick and without torch, and nothing where there is no home."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelpress.artifacts.report import put_report
from modelpress.client.tagging import tag
from tests.unit.cli.homes import chain, submit, toys_client
from tests.unit.cli.terminal import run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELPRESS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class Bash:
    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, line: str) -> list[str]:
        """What is offered for the last word of ``line``."""
        words = line.split(" ")
        with self._monkeypatch.context() as patch:
            patch.setenv("_MODELPRESS_COMPLETE", "complete_bash")
            patch.setenv("COMP_WORDS", line)
            patch.setenv("COMP_CWORD", str(len(words) - 1))
            return run(self._capsys).out.split()


@pytest.fixture
def bash(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bash:
    return Bash(capsys, monkeypatch)


def test_runs_newest_first_and_their_steps(bash: Bash, root: Path) -> None:
    first, second = (submit(root, chain(root, name, "slim", "pack")) for name in ("one", "two"))
    for command in ("get", "watch", "logs", "cancel", "resume", "rm", "export-run", "report"):
        assert set(bash(f"modelpress {command} ")) == {"last", first, second}
    assert bash(f"modelpress get {second[:-1]}") == ([first, second] if first[:-1] == second[:-1] else [second])
    assert bash("modelpress logs last ") == ["slim", "pack"]
    assert bash(f"modelpress logs {first} p") == ["pack"]


def test_names_of_artifacts(bash: Bash, root: Path) -> None:
    with toys_client(root) as client:
        for name in ("nets/dense", "nets/slim", "data"):
            tag(client.store, name, put_report(client.store, {}))
    assert bash("modelpress show nets/") == ["nets/dense", "nets/slim"]
    assert bash("modelpress run slim-distill-int8 --model nets/d") == ["nets/dense"]
    assert bash("modelpress pull la") == [], "no run has an output"


def test_methods_recipes_and_files_need_no_home(bash: Bash, root: Path, tmp_path: Path) -> None:
    (tmp_path / "slim.yaml").touch()
    (tmp_path / "slim.txt").touch()
    (tmp_path / "slimmed").mkdir()
    assert bash("modelpress methods quantizer/p") == ["quantizer/package", "quantizer/ptq-int8"]
    assert bash("modelpress recipes slim-d") == ["slim-distill-int8"]
    assert bash("modelpress run slim") == ["slim-distill-int8", "slim.yaml", "slimmed/"]
    assert set(bash("modelpress list --status s")) == {"submitted", "succeeded"}
    assert not root.exists()


def test_a_home_elsewhere_is_asked_where_it_was_named(bash: Bash, root: Path, tmp_path: Path) -> None:
    run_id = submit(tmp_path / "there", chain(tmp_path, "one", "a"))
    assert bash(f"modelpress get --home {tmp_path / 'there'} ") == ["last", run_id]
    assert bash("modelpress get ") == []


@pytest.mark.parametrize("words", ["get ", "logs last ", "show ", "dead-letters drop "])
def test_no_home_or_a_broken_one_offers_nothing(bash: Bash, root: Path, words: str) -> None:
    assert bash(f"modelpress {words}") == []
    assert not root.exists(), "a look makes none"
    root.mkdir()
    (root / "bus.sqlite").write_bytes(b"no database" * 100)
    assert bash(f"modelpress {words}") == []


def test_completing_imports_no_torch_and_starts_no_worker(root: Path) -> None:
    submit(root, chain(root, "one", "a"))
    program = (
        "import sys\nfrom modelpress.cli.main import main\n"
        "try:\n    main([])\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(str([m for m in ('torch', 'onnxruntime') if m in sys.modules]))"
    )
    words = {"_MODELPRESS_COMPLETE": "complete_bash", "COMP_WORDS": "modelpress get ", "COMP_CWORD": "2"}
    environment = {"MODELPRESS_HOME": str(root), **words}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("last\n")
    assert done.stderr == "[]"
    assert not (root / "logs" / "worker.log").exists()
