"""The process in which kernels run: ``python -m modelpress.worker.child --warm MODULE...``.

Its standard input and output are the protocol (`modelpress.worker.protocol`), moved out of the way at start: what
libraries print lands in the step's log. It is warm: heavy modules are imported once and serve step after step.

It dies with its parent: the end of standard input ends it, in the middle of a kernel too.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import gc
import importlib
import os
import queue
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.store import Store
from modelpress.errors import ModelpressError, NotFoundError, StepError, StoreError, StoreFullError
from modelpress.worker import exchange, results
from modelpress.worker.child_job import ChildJob, SlotCheckpoints
from modelpress.worker.protocol import Done, Failed, Hello, Reply, StepRequest, StoreAddress, parse_request, to_line

COLLECT_AFTER_S = 1.0
"""A step that took so long may have left cycles that hold much (graphs do), and can spare the time to look for them:
what its process has then decides whether it is used again."""


class BrokenInputsError(Exception):
    """Blobs of inputs, by port, cannot be read; the cause says what was met first."""

    def __init__(self, blobs: dict[str, tuple[str, ...]]) -> None:
        self.blobs = blobs


class Channel:
    """The protocol's two ends in the child. Replies may come from any thread."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self.requests: queue.SimpleQueue[StepRequest] = queue.SimpleQueue()
        self._incoming = incoming
        self._outgoing = outgoing
        self._lock = threading.Lock()

    def tell(self, reply: Reply) -> None:
        with self._lock:
            self._outgoing.write(to_line(reply))
            self._outgoing.flush()

    def listen(self) -> None:
        """Queue requests until the parent is gone, and end with it."""
        for line in self._incoming:
            self.requests.put(parse_request(line))
        _end()


def main() -> None:
    # Ctrl-C in a terminal reaches the whole process group; what it means is the parent's to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = _take_standard_streams()
    threading.Thread(target=channel.listen, daemon=True).start()
    parser = argparse.ArgumentParser()
    parser.add_argument("--warm", nargs="*", default=[])
    for module in parser.parse_args().warm:
        importlib.import_module(module)
    # What is imported stays: a collection after a step need not look at it.
    gc.freeze()
    channel.tell(Hello(worker=_worker_facts()))
    while True:
        _serve(channel.requests.get(), channel.tell)


def _end() -> None:
    """End this process and, where the group is its own, whatever its kernels started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _take_standard_streams() -> Channel:
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return Channel(incoming, outgoing)


def _serve(request: StepRequest, tell: Callable[[Reply], None]) -> None:
    began_s = time.monotonic()
    try:
        with _output_to(Path(request.log_path)):
            reply = _attempt(request, tell)
    except OSError as e:
        # The log itself cannot be written.
        reply = describe(e)
    if time.monotonic() - began_s > COLLECT_AFTER_S:
        gc.collect()
    tell(reply)


def _attempt(request: StepRequest, tell: Callable[[Reply], None]) -> Done | Failed:
    try:
        return run_step(request, tell)
    except Exception as e:
        traceback.print_exc()
        return describe(e)


def run_step(request: StepRequest, tell: Callable[[Reply], None]) -> Done:
    """Load, compute, store. Whatever a kernel raises passes."""
    store = _open_store(request.store)
    kernel = _resolve(request.run)
    params = _resolve(request.params_type).model_validate(request.params)
    inputs = _load_inputs(store, request.inputs)
    checkpoints = SlotCheckpoints(store.slots, request.key)
    job = ChildJob(tell, checkpoints, request.metrics, seed=request.seed, threads=request.threads)
    make_deterministic(request.seed, request.threads)
    values = kernel(**inputs, params=params, job=job)
    return Done(outputs=dict(exchange.save_all(store, request.outputs, values)), metrics=job.metrics)


@functools.lru_cache(maxsize=1)
def _open_store(address: StoreAddress) -> Store:
    return FilesystemStore(Path(address.root), address.tenant, address.durability)


def make_deterministic(seed: int, threads: int) -> None:
    """Seed every generator, fix the number of threads and ask torch for reproducible kernels.

    torch and numpy are left out where nothing has imported them.
    """
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.set_num_threads(threads)
        # `torch.manual_seed` prepares what accelerators there may be, at the price of a traceback for each kind.
        (torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed)(seed)
        # `torch.use_deterministic_algorithms(True)` is the same and imports the compiler, which takes a second.
        torch.set_deterministic_debug_mode("error")
        # Filling what is allocated hides reads of uninitialised memory, at the price of a write for every tensor.
        torch.utils.deterministic.fill_uninitialized_memory = False


def describe(error: Exception) -> Failed:
    """What the parent is told of an error."""
    match error:
        case BrokenInputsError():
            return Failed(fault="inputs-broken", message=str(error.__cause__), broken=error.blobs)
        case StoreFullError():
            return Failed(fault="store-full", message=str(error))
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Failed(fault="store-full", message=f"no space is left: {error}")
        case StepError(retryable=True):
            return Failed(fault="retryable", message=str(error))
        case ModelpressError():
            return Failed(fault="input", message=str(error))
    return Failed(fault="kernel", message=traceback.format_exception_only(error)[-1].strip())


def _load_inputs(store: Store, inputs: Mapping[str, str | tuple[str, ...]]) -> dict[str, Any]:
    try:
        return {port: _load_input(store, digests) for port, digests in inputs.items()}
    except (NotFoundError, StoreError) as e:
        raise BrokenInputsError(_broken_blobs(store, inputs)) from e


def _load_input(store: Store, digests: str | tuple[str, ...]) -> Any:
    """An artifact, or a list of them for a port that takes many."""
    if isinstance(digests, str):
        return exchange.load(store, Digest(digests))
    return [exchange.load(store, Digest(digest)) for digest in digests]


def _broken_blobs(store: Store, inputs: Mapping[str, str | tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Every blob of every input is read, so that what made it is asked to make it again once."""
    found = {}
    for port, digests in inputs.items():
        several = (digests,) if isinstance(digests, str) else digests
        found[port] = tuple(blob for digest in several for blob in results.corrupt_blobs(store, Digest(digest)))
    return {port: blobs for port, blobs in found.items() if blobs}


def _resolve(path: str) -> Any:
    """The object called ``module:name``; the name may have dots."""
    module, _, name = path.partition(":")
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def _worker_facts() -> dict[str, Any]:
    facts: dict[str, Any] = {"python": sys.version.split()[0]}
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        facts |= {"torch": str(torch.__version__), "instruction_set": torch.backends.cpu.get_cpu_capability()}
    return facts


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Standard output and error, of C libraries too, go to the end of ``path``."""
    kept = os.dup(2)
    try:
        with open(path, "ab") as file:
            _point_output_at(file.fileno())
        yield
    finally:
        _point_output_at(kept)
        os.close(kept)


def _point_output_at(handle: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)


if __name__ == "__main__":
    main()
