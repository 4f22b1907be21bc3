"""Reading a run's archive: everything is checked before anybody uses it. See `modelpress.client.archive`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from pydantic import ValidationError

from modelpress.artifacts.digest import Digest, is_digest
from modelpress.artifacts.manifest import Manifest, parse_manifest
from modelpress.artifacts.reach import outputs_of
from modelpress.artifacts.streams import chunks_of, digest_of_stream
from modelpress.client.tar import Member, members
from modelpress.engine.state import RunState, StepStatus
from modelpress.errors import InputError, StoreError

FORMAT = "modelpress.run"
VERSION = 1
HEAD = "archive.json"
RUN = "run.json"

MAX_RECORD_BYTES = 64 << 20
"""Of ``run.json`` and of a manifest; a run of 10,000 steps takes 10 MB."""
MAX_SMALL_BYTES = 1 << 20
"""Of ``archive.json`` and of a result."""

_MEMBER = re.compile(r"archive\.json|run\.json|blobs/sha256/[0-9a-f]{64}|results/[0-9a-f]{64}|logs/\d+\.log", re.ASCII)


def blob_name(digest: Digest) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def result_name(key: str) -> str:
    return f"results/{key}"


def log_name(number: int) -> str:
    """Of the step with that place in the run's record: a step's own name may be too long for a tar."""
    return f"logs/{number:05d}.log"


def artifacts_of(state: RunState) -> tuple[Digest, ...]:
    """Every artifact that a run that ended names, each once: its inputs, its steps' outputs, its own outputs.

    What a step had put out before it was to run again, and did not, is none of them.
    """
    made = (step for step in state.steps.values() if step.status in (StepStatus.SUCCEEDED, StepStatus.REFUSED))
    of_steps = (digest for step in made for digest in step.outputs.values())
    return tuple(dict.fromkeys(map(Digest, (*state.inputs.values(), *of_steps, *state.outputs.values()))))


class ArchiveFile:
    """An open archive that was read once from end to end and found right. ``file`` stays the caller's to close.

    ``blobs`` has every digest, layers before the manifests that name them; ``results`` each result by its step's key;
    ``logs`` the step of each log by its place in the record.

    Raises:
        InputError: it is no archive of a run, is of another version, was damaged or made up.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members = _members_by_name(file)
        _check_head(self.small(HEAD, MAX_SMALL_BYTES))
        self.state = _parse_state(self.small(RUN, MAX_RECORD_BYTES))
        self.blobs = self._checked_blobs()
        self.results = {step.key: self._result(step.key) for step in self.state.steps.values() if self._has(step.key)}
        self.logs = {n: step for n, step in enumerate(self.state.steps) if log_name(n) in self._members}
        self._check_nothing_else()

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of one member."""
        member = self._member(name)
        self._file.seek(member.start)
        return chunks_of(self._file, member.size_bytes)

    def small(self, name: str, most_bytes: int) -> bytes:
        """The bytes of a member that must be small."""
        member = self._member(name)
        if member.size_bytes > most_bytes:
            raise InputError(f"'{name}' has {member.size_bytes} bytes: at most {most_bytes} are right")
        return b"".join(self.chunks(name))

    def size_bytes(self, name: str) -> int:
        return self._member(name).size_bytes

    def _member(self, name: str) -> Member:
        if name not in self._members:
            raise InputError(f"'{name}' is missing: this is no archive of a run, or was damaged")
        return self._members[name]

    def _checked_blobs(self) -> tuple[Digest, ...]:
        """What the run needs: all of it is there, with the digests and sizes that its names promise."""
        manifests = artifacts_of(self.state)
        layers = {layer for digest in manifests for layer in self._layers(digest)}
        needed = (*sorted(layers - set(manifests)), *manifests)
        for digest in needed:
            if digest_of_stream(self.chunks(blob_name(digest))) != digest:
                raise InputError(f"'{blob_name(digest)}' has another digest: the archive was damaged")
        return needed

    def _layers(self, digest: Digest) -> Iterator[Digest]:
        for layer in self._manifest(digest).layers:
            held_bytes = self._member(blob_name(Digest(layer.digest))).size_bytes
            if held_bytes != layer.size_bytes:
                raise InputError(
                    f"'{blob_name(Digest(layer.digest))}' has {held_bytes} bytes, its manifest says {layer.size_bytes}"
                )
            yield Digest(layer.digest)

    def _manifest(self, digest: Digest) -> Manifest:
        data = self.small(blob_name(digest), MAX_RECORD_BYTES)
        try:
            return parse_manifest(data, digest)
        except StoreError as e:
            raise InputError(f"'{blob_name(digest)}' is no manifest, and the run names it as one") from e

    def _has(self, key: str) -> bool:
        return result_name(key) in self._members

    def _result(self, key: str) -> bytes:
        data = self.small(result_name(key), MAX_SMALL_BYTES)
        try:
            strangers = set(outputs_of(data)) - set(artifacts_of(self.state))
        except StoreError as e:
            raise InputError(f"'{result_name(key)}' is no result of a step") from e
        if strangers:
            raise InputError(f"'{result_name(key)}' names {min(strangers)}, which the run does not")
        return data

    def _check_nothing_else(self) -> None:
        known = {HEAD, RUN, *map(blob_name, self.blobs), *map(result_name, self.results), *map(log_name, self.logs)}
        strangers = sorted(self._members.keys() - known)
        if strangers:
            raise InputError(f"'{strangers[0]}' belongs to nothing that the run names")


def _members_by_name(file: BinaryIO) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for member in members(file):
        if _MEMBER.fullmatch(member.name) is None:
            raise InputError(f"'{member.name}' is no name of anything in an archive of a run")
        if member.name in found:
            raise InputError(f"'{member.name}' is there twice")
        found[member.name] = member
    return found


def _check_head(data: bytes) -> None:
    try:
        head = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise InputError(f"'{HEAD}' is no JSON") from e
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise InputError(f"'{HEAD}' does not say that this is an archive of a run ({FORMAT})")
    if head.get("version") != VERSION:
        raise InputError(
            f"the archive has version {head.get('version')}, this modelpress reads version {VERSION}: "
            "use the modelpress that wrote it, or a newer one"
        )


def _parse_state(data: bytes) -> RunState:
    try:
        state = RunState.model_validate_json(data)
    except ValidationError as e:
        raise InputError(f"'{RUN}' is no record of a run of this version: {e}") from e
    if fault := _fault_of(state):
        raise InputError(f"'{RUN}' contradicts itself: {fault}")
    bad = [digest for digest in artifacts_of(state) if not is_digest(digest)]
    if bad:
        raise InputError(f"'{RUN}' names '{bad[0]}' as an artifact, which is no digest")
    if not state.status.final:
        raise InputError(f"'{RUN}' is of a run that has not ended ({state.status})")
    return state


def _fault_of(state: RunState) -> str:
    """What of a record could not be shown; empty for every record of a run that ended."""
    if [step.id for step in state.plan.steps] != list(state.steps):
        return "it has not one state for each step of its plan"
    wrong = [name for name, step in state.steps.items() if step.id != name or not step.status.final]
    return f"the state of the step '{wrong[0]}' is another's, or open" if wrong else ""
