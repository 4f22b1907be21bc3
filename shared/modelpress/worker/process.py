"""The parent's side of a child: start, send, receive, kill. Nothing here waits for the child."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from pydantic import ValidationError

from modelpress.errors import StepError
from modelpress.worker.logs import last_words
from modelpress.worker.protocol import Hello, Reply, StepRequest, parse_reply, to_line

_CHUNK_BYTES = 65536
_ENVIRONMENT = {
    # The order of a set of strings must not differ from process to process; cuBLAS needs a fixed workspace.
    "PYTHONHASHSEED": "0",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # Each request sets torch's threads. What has a pool of its own (numpy) gives the same bits on any host with one.
    "OMP_NUM_THREADS": "1",
    # Threads that wait for one that another program displaced would spin for ever longer: training beside another
    # busy program was five times slower. Spinning this briefly costs nothing on a quiet machine; not at all, 40 %.
    "GOMP_SPINCOUNT": "20000",
}
_EXIT_S = 0.5
"""How long a child that closed its pipe may take to end."""


class ChildDiedError(StepError):
    """The child ended without being asked to. ``returncode`` is minus the signal's number where one killed it."""

    def __init__(self, returncode: int, words: str) -> None:
        self.returncode = returncode
        how = f"was killed by {_signal_name(-returncode)}" if returncode < 0 else f"ended with code {returncode}"
        super().__init__(f"the worker's process {how}{f': {words}' if words else ''}", retryable=True)


class ChildProcess:
    """An exec'd ``modelpress.worker.child``: never forked (gRPC), never `multiprocessing` (user scripts).

    ``warm`` are modules that it imports before it says hello; what it prints outside of steps goes to ``log_path``.
    """

    def __init__(self, warm: Sequence[str], log_path: Path) -> None:
        self.facts: dict[str, Any] | None = None
        """What it is, by its own hello; None until it is warm."""
        self.started_s = time.monotonic()
        self.warm_rss_bytes = 0
        self.log_path = log_path
        self._gone = False
        self._incoming = bytearray()
        self._outgoing = bytearray()
        # -P: a file in the user's folder must not stand in for a module of the same name.
        command = [sys.executable, "-P", "-m", "modelpress.worker.child", "--warm", *warm]
        with open(log_path, "wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | _ENVIRONMENT,
                bufsize=0,
                process_group=0,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)
        self._system = psutil.Process(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def sending(self) -> bool:
        """Whether a part of a request waits for room in the pipe: call `flush` soon."""
        return bool(self._outgoing)

    def fileno(self) -> int:
        """Readable when there is something to `receive`."""
        return self._stdout.fileno()

    def send(self, request: StepRequest) -> None:
        """Ask for a step. That the child is gone is told by `receive`."""
        self._outgoing += to_line(request)
        self.flush()

    def flush(self) -> None:
        """Write as much of what is to be sent as the pipe takes now."""
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self._stdin.fileno(), self._outgoing[:_CHUNK_BYTES])]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._outgoing.clear()

    def receive(self) -> list[Reply]:
        """What it has said since, its hello taken out.

        Raises:
            ChildDiedError: it ended, and everything that it said was received.
        """
        try:
            data = os.read(self._stdout.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            if self._gone:
                raise self._death() from None
            # What a kernel started may hold the pipe open: then its end is told when nothing more is in it.
            self._gone = self._process.poll() is not None
            return []
        if not data:
            raise self._death()
        return [reply for reply in self._parsed(data) if not self._greets(reply)]

    def rss_bytes(self) -> int:
        """Its resident memory; 0 once it has ended."""
        try:
            return int(self._system.memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    def cpu_s(self) -> float:
        """Processor time that it has used; 0 once it has ended."""
        try:
            used = self._system.cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(used.user + used.system)

    def kill(self) -> None:
        """End it and whatever its kernels started, and release its pipes; again is fine."""
        if self._stdin.closed:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._stdin.close()
        self._stdout.close()

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def _parsed(self, data: bytes) -> list[Reply]:
        self._incoming += data
        if b"\n" not in data:
            return []
        *lines, rest = self._incoming.split(b"\n")
        self._incoming = rest
        try:
            return [parse_reply(bytes(line)) for line in lines]
        except ValidationError as e:
            self.kill()
            raise ChildDiedError(-signal.SIGKILL, f"it had said what is no reply: {e}") from e

    def _greets(self, reply: Reply) -> bool:
        if not isinstance(reply, Hello):
            return False
        self.facts = reply.worker
        self.warm_rss_bytes = self.rss_bytes()
        return True

    def _death(self) -> ChildDiedError:
        try:
            returncode = self._process.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            returncode = self._process.wait()
        return ChildDiedError(returncode, last_words(self.log_path))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
