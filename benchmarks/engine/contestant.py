"""A program under measurement, in a process of its own, asked over its standard input; see `serve`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from benchmarks.harness import ROOT

_EXIT_S = 30.0
"""How long one may take to end once nothing more is asked."""


class Contestant:
    """Started with ``command``; what it prints beside answers goes to ``folder/stderr``."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._log = folder / "stderr"
        environ = os.environ | {"OMP_NUM_THREADS": "1"}
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, env=environ, text=True
            )

    def ask(self, what: str, **arguments: int) -> list[float]:
        """Its answer.

        Raises:
            RuntimeError: it died instead; tells its last words.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"ask": what, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise RuntimeError(f"{self._process.args!r} ended with code {code} when asked for {what}:\n{self._words()}")
        answer: list[float] = json.loads(line)
        return answer

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._process.kill()
        try:
            self._process.communicate(timeout=_EXIT_S)  # ends its input
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])
