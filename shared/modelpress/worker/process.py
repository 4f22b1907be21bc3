"""The parent's side of the child: start, send, receive, kill."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from modelpress.errors import StepError
from modelpress.worker.protocol import Reply, StepRequest, parse_reply, to_line

_CHUNK_BYTES = 65536
_DETERMINISTIC = {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""The order of a set of strings must not differ from process to process; cuBLAS needs a fixed workspace."""
_EXIT_S = 5.0
"""How long a child that closed its pipe may take to end."""
_POLITE = {"GOMP_SPINCOUNT": "20000"}
"""Threads that wait for one that another program displaced would spin for ever longer: training beside another busy
program was five times slower. Spinning this briefly costs nothing on a quiet machine; not spinning at all, 40 %."""


class ChildDiedError(StepError):
    """The child ended without being asked to. ``returncode`` is minus the signal's number where one killed it."""

    def __init__(self, returncode: int, log_path: Path) -> None:
        self.returncode = returncode
        how = f"was killed by {_signal_name(-returncode)}" if returncode < 0 else f"ended with code {returncode}"
        super().__init__(f"the worker's process {how}{_last_words(log_path)}", retryable=True)


class ChildProcess:
    """An exec'd ``modelpress.worker.child``: never forked (gRPC), never `multiprocessing` (user scripts).

    ``warm`` are modules that it imports before it says hello; what it prints outside of steps goes to ``log_path``.
    """

    def __init__(self, threads: int, warm: Sequence[str], log_path: Path) -> None:
        self._log_path = log_path
        self._buffer = b""
        self._replies: deque[Reply] = deque()
        # -P: a file in the user's folder must not stand in for a module of the same name.
        command = [sys.executable, "-P", "-m", "modelpress.worker.child", "--warm", *warm]
        environment = os.environ | _DETERMINISTIC | _POLITE | {"OMP_NUM_THREADS": str(threads)}
        with open(log_path, "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, bufsize=0
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, request: StepRequest) -> None:
        """Ask for a step.

        Raises:
            ChildDiedError: it is gone.
        """
        rest = memoryview(to_line(request))
        try:
            while rest:
                rest = rest[self._stdin.write(rest) or 0 :]
        except BrokenPipeError as e:
            raise self._death() from e

    def receive(self, timeout_s: float) -> Reply | None:
        """The next message, None when none came within ``timeout_s``.

        Raises:
            ChildDiedError: it ended, and everything that it said was received.
        """
        if not self._replies and self._selector.select(timeout_s):
            self._fill()
        return self._replies.popleft() if self._replies else None

    def kill(self) -> None:
        """End it and release its pipes; again is fine."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        self._stdin.close()
        self._stdout.close()

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def _fill(self) -> None:
        data = os.read(self._stdout.fileno(), _CHUNK_BYTES)
        if not data:
            raise self._death()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self._replies.extend(parse_reply(line) for line in lines)

    def _death(self) -> ChildDiedError:
        try:
            returncode = self._process.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            returncode = self._process.wait()
        return ChildDiedError(returncode, self._log_path)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_words(log_path: Path) -> str:
    lines = log_path.read_text(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {last}" if last else ""
