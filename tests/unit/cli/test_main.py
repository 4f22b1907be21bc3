"""Exit codes, errors, and a start that imports nothing heavy."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from modelpress import __version__
from modelpress.cli.main import complaint, exit_code, main
from modelpress.errors import CorruptBlobError, DataError, StepError, StoreFullError
from tests.unit.cli.terminal import run

HEAVY = "('torch', 'onnx', 'onnxruntime', 'matplotlib')"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "--help")
    assert done.code == 0
    names = (
        "demo xray push pull ls show compare run submit watch resume cancel rm list get logs report dead-letters "
        "validate plan recipes schema methods gc du verify export-run import-run"
    )
    assert all(f" {name} " in done.out for name in names.split())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version").out == f"modelpress {__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["no-such-command"],
        ["plan"],
        ["validate", "missing.yaml"],
        ["recipes", "no-such-recipe"],
        ["plan", "slim-distill-int8", "--set", "sparsity"],
        ["plan", "slim-distill-int8", "--set", "sparsty=0.5"],
        ["plan", "slim-distill-int8", "--set", "sparsity=2"],
        ["ls", "everything"],
    ],
)
def test_wrong_input_exits_with_2_and_no_traceback(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    done = run(capsys, *command)
    assert done.code == 2
    assert done.out == ""
    assert done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (["get", "last"], "none was submitted"),
        (["get", "20260101-000000-abcd"], "there is no run"),
        (["show", "fashion/resnet"], "there is no artifact"),
        (["pull", "last.model", "--to", "x"], "none was submitted"),
        (["run", "slim-distill-int8"], "inputs.model"),
        (["run", "slim-distill-int8", "--model", "a", "--data", "b"], "there is no artifact"),
        (["push", "model", "no_such_module:build", "--name", "x"], "no module 'no_such_module'"),
        (["push", "model", "json:no_such_name", "--name", "x"], "has no 'no_such_name'"),
        (["push", "model", "json", "--name", "x"], "module:callable"),
        (["push", "model", "json:dumps", "--name", "x", "--input", "1,-2"], "1,28,28"),
        (["push", "data", "no-such-data"], "names none of these"),
    ],
)
def test_a_home_tells_what_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str], hint: str
) -> None:
    done = run(capsys, *command, "--home", str(tmp_path))
    assert done.code == 2
    assert hint in done.err
    assert done.err.startswith("error: ")


@pytest.mark.parametrize("command", [["ls"], ["ls", "models"], ["list"]])
def test_an_empty_home_is_an_empty_list(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]) -> None:
    assert run(capsys, *command, "--home", str(tmp_path)).code == 0
    assert json.loads(run(capsys, *command, "--json", "--home", str(tmp_path)).out) == []


def test_a_home_that_is_a_file_is_the_users_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run(capsys, "list", "--home", str(tmp_path / "file")).code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("x"), 2),
        (StoreFullError("x"), 2),
        (CorruptBlobError("sha256:0", "x"), 2),
        (StepError("x"), 1),
        (ValueError("x"), 1),
    ],
)
def test_exit_codes_of_errors(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_a_terminal_obeys_no_message() -> None:
    assert complaint(StepError("no\n\x1b[2J")) == "error: no\n\\x1b[2J\n"
    assert "\x1b" not in complaint(ValueError("\x1b[2J"))


def test_letters_that_the_terminal_lacks_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit):
        main(["--version"])
    stream.write("✓")
    stream.flush()
    assert raw.getvalue().endswith(b"\n\\u2713")


def test_only_the_unexpected_offers_a_traceback() -> None:
    assert complaint(DataError("labels out of range")) == "error: labels out of range\n"
    assert "--debug" in complaint(ValueError("odd"))


def test_debug_raises(tmp_path: Path) -> None:
    from modelpress.cli.main import main
    from modelpress.errors import NotFoundError

    with pytest.raises(NotFoundError):
        main(["get", "last", "--debug", "--home", str(tmp_path)])


@pytest.mark.parametrize("arguments", ["--help", "methods", "recipes", "plan slim-distill-int8", "list", "ls"])
def test_commands_that_read_import_no_torch(arguments: str, tmp_path: Path) -> None:
    words = arguments.split() + (["--home", str(tmp_path)] if arguments in ("list", "ls") else [])
    program = (
        "import sys\nfrom modelpress.cli.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        f"sys.exit(', '.join(m for m in {HEAVY} if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_entry_point_is_installed() -> None:
    from importlib.metadata import entry_points

    (point,) = entry_points(group="console_scripts", name="modelpress")
    assert point.value == "modelpress.cli.main:main"
