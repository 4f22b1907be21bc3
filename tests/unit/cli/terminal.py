"""The command line in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from modelpress.cli.main import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """What ``modelpress ARGUMENTS`` exits with and prints."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    printed = capsys.readouterr()
    code = ended.value.code
    return Done(code if isinstance(code, int) else 0, printed.out, printed.err)


ENTRY_POINTS = "[modelpress.services]\ntoys = modelpress.testing.toys:CATALOGUE\n"


def toys_plugin(folder: Path) -> Path:
    """A folder that, on ``sys.path``, brings the toys as somebody's own methods, by an entry point as theirs would."""
    metadata = folder / "plugin" / "toys-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return metadata.parent


def toys_pipeline(folder: Path, name: str, steps: str) -> Path:
    """A pipeline file of toys without inputs, whose output is the report of its step ``last``."""
    head = f"apiVersion: modelpress/v1\nkind: Pipeline\nmetadata: {{name: {name}}}\ninputs: {{}}\n"
    path = folder / f"{name}.yaml"
    path.write_text(f"{head}steps:\n{steps}\noutputs: {{report: last.report}}\n")
    return path
