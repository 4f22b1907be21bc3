"""A run with all that it needs as one file, to be moved or kept.

The file is a tar, uncompressed, its names sorted and its times zero: equal runs give equal bytes. It is laid out like
an OCI image layout:

    archive.json          format and version
    blobs/sha256/<hex>    the inputs, every step's outputs, the run's outputs: manifests and layers
    logs/<number>.log     what a step wrote, by its place in the record; where that was asked for
    results/<key>         the accepted result of each step, which makes it a cache hit where it is imported
    run.json              the run's record

Invariant: a result is imported after all that it leads to was verified and stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelpress.artifacts.digest import Digest, canonical_json
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.reach import readable_outputs
from modelpress.artifacts.refs import broken_blobs
from modelpress.artifacts.store import Store
from modelpress.artifacts.streams import chunks_of
from modelpress.client.archive_file import (
    FORMAT,
    HEAD,
    RUN,
    VERSION,
    ArchiveFile,
    artifacts_of,
    blob_name,
    log_name,
    result_name,
)
from modelpress.client.export import written_whole
from modelpress.client.tar import write_end, write_member
from modelpress.engine.state import RunState
from modelpress.errors import InputError, NotFoundError, StoreError


@dataclass(frozen=True)
class _Part:
    """One file of an archive that is written. ``open`` gives its ``size_bytes`` bytes when their turn comes."""

    size_bytes: int
    open: Callable[[], Iterator[bytes]]


def export_run(store: Store, state: RunState, path: Path, logs: Path | None = None) -> None:
    """Write ``state`` and all that it names to ``path``, whole or not at all, in flat memory.

    ``logs`` is the folder of the run's ``<step>.log``; steps that have none are left out.

    Raises:
        InputError: the run has not ended, something that it names is missing, or ``path`` cannot be written.
        CorruptBlobError: something that it names is corrupt.
    """
    if not state.status.final:
        raise InputError(f"run {state.run_id} is {state.status}: wait for its end, or cancel it, and export it then")
    parts = dict(sorted(_parts(store, state, logs).items()))
    with written_whole(path) as file:
        for name, part in parts.items():
            write_member(file, name, part.size_bytes, part.open())
        write_end(file)


def import_run(store: Store, path: Path, logs: Path | None = None) -> RunState:
    """Take what `export_run` wrote into ``store``, in flat memory; return the run's record.

    Every byte is verified before anything is stored. Doing it again changes nothing, and no result replaces one that is
    there. An archive is as trustworthy as its maker: that its results are what its steps come to is believed. ``logs``
    is the folder to write ``<step>.log`` to.

    Raises:
        InputError: ``path`` cannot be read or is no whole archive of a run, and nothing was stored; or ``logs`` cannot
            be written.
        StoreFullError: no space is left. Nothing leads to what was stored, so garbage collection takes it.
        StoreError: the store cannot be written.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 (what happens inside is no fault of the path)
    except OSError as e:
        raise InputError(f"cannot read {path}: {e.strerror or e}") from e
    with file:
        try:
            archive = ArchiveFile(file)
        except InputError as e:
            raise InputError(f"{path} cannot be imported: {e}") from e
        _publish(store, archive, logs)
    return archive.state


def _parts(store: Store, state: RunState, logs: Path | None) -> dict[str, _Part]:
    head = canonical_json({"format": FORMAT, "version": VERSION})
    found = {HEAD: _in_memory(head), RUN: _in_memory(state.model_dump_json().encode())}
    for digest in artifacts_of(state):
        found |= {blob_name(blob): _blob(store, blob, state) for blob in _blobs(store, digest, state)}
    for key, value in _results(store, state):
        found[result_name(key)] = _in_memory(value)
    return found if logs is None else found | _logs(state, logs)


def _in_memory(data: bytes) -> _Part:
    return _Part(len(data), lambda: iter([data]))


def _blobs(store: Store, digest: Digest, state: RunState) -> tuple[Digest, ...]:
    """An artifact of ``state`` and its layers."""
    try:
        return (digest, *get_manifest(store, digest).blobs())
    except NotFoundError as e:
        raise _incomplete(state, digest) from e


def _blob(store: Store, digest: Digest, state: RunState) -> _Part:
    size_bytes = store.blobs.size(digest)
    if size_bytes is None:
        raise _incomplete(state, digest)
    return _Part(size_bytes, lambda: store.blobs.open(digest))


def _incomplete(state: RunState, digest: Digest) -> InputError:
    return InputError(
        f"run {state.run_id} cannot be exported: {digest}, which it needs, is not in the store; resume the run, which "
        "makes again what is missing, and export that one"
    )


def _results(store: Store, state: RunState) -> Iterator[tuple[str, bytes]]:
    """The stored result of each step that has one which the run took."""
    taken = set(artifacts_of(state))
    for step in state.steps.values():
        value = store.results.get(step.key) if step.key else None
        outputs = None if value is None else readable_outputs(value)
        if value is not None and outputs is not None and taken.issuperset(outputs):
            yield step.key, value


def _logs(state: RunState, folder: Path) -> dict[str, _Part]:
    paths = {number: folder / f"{step}.log" for number, step in enumerate(state.steps)}
    return {log_name(number): _file(path) for number, path in paths.items() if path.is_file()}


def _file(path: Path) -> _Part:
    size_bytes = path.stat().st_size

    def chunks() -> Iterator[bytes]:
        with open(path, "rb") as file:
            yield from chunks_of(file, size_bytes)

    return _Part(size_bytes, chunks)


def _publish(store: Store, archive: ArchiveFile, logs: Path | None) -> None:
    for digest in archive.blobs:
        if store.upkeep.refresh(digest) != archive.size_bytes(blob_name(digest)):
            stored = store.blobs.put(archive.chunks(blob_name(digest)))
            if stored != digest:
                raise InputError(f"the archive changed while it was imported: {digest} became {stored}")
    for digest in artifacts_of(archive.state):
        broken = broken_blobs(store, digest)
        if broken:
            raise StoreError(f"{broken[0]} was removed while the run was imported: import it again")
    if logs is not None:
        _write_logs(archive, logs)
    for key, value in archive.results.items():
        store.results.create(key, value)


def _write_logs(archive: ArchiveFile, folder: Path) -> None:
    for number, step in archive.logs.items():
        with written_whole(folder / f"{step}.log") as file:
            file.writelines(archive.chunks(log_name(number)))
