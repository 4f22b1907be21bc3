"""The command line in this process."""

from __future__ import annotations

from dataclasses import dataclass

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
