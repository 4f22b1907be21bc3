"""Whether every blob still has the bytes that its digest promises, and whose the damaged ones are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.reach import Reach, stored_outputs, tagged
from modelpress.artifacts.store import Entry, Store
from modelpress.errors import CorruptBlobError, NotFoundError

CORRUPT = "corrupt"
MISSING = "missing"

Progress = Callable[[int, int], None]
"""Is told bytes read so far, and bytes in all."""


@dataclass(frozen=True)
class Damage:
    """A blob and what is wrong with it; what needs it: names of tags, keys of step results, ids of runs."""

    blob: Digest
    problem: str
    tags: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.tags:
            return f"push '{self.tags[0]}' again, or import a run that has it: the same bytes mend all that need them"
        if self.runs:
            return f"resume the run {self.runs[0]}, which makes it again, or import an archive of it"
        if self.results:
            return "nothing: the step that made it runs again when its result is needed"
        return "nothing: no tag, run or result needs it"


def verify(
    store: Store, progress: Progress | None = None, runs: Mapping[str, Iterable[Digest]] | None = None
) -> list[Damage]:
    """Read every blob; what is damaged, by digest.

    ``runs`` are inputs and outputs of the runs that are known, by id. A blob that is found corrupt counts as missing
    from then on, so that whatever makes it again mends it. What is removed meanwhile is damage only if it is needed.
    """
    entries = sorted(store.upkeep.blobs())
    reach = Reach(store)
    owners = _owners(store, reach, runs or {})
    # Reading a manifest already sets it aside when it is corrupt.
    problems = {entry.name: CORRUPT for entry in entries if Digest(entry.name) in reach.damaged}
    problems |= _unreadable(store, [entry for entry in entries if entry.name not in problems], progress)
    problems |= {b: MISSING for b in owners if b not in problems and store.blobs.size(Digest(b)) is None}
    return [_damage(Digest(blob), problems[blob], owners.get(blob, {})) for blob in sorted(problems)]


def _owners(store: Store, reach: Reach, runs: Mapping[str, Iterable[Digest]]) -> dict[str, dict[str, list[str]]]:
    """Names of tags, results and runs by blob."""
    named: list[tuple[str, str, Iterable[Digest]]] = [
        *(("tags", name, [digest]) for name, digest in tagged(store).items()),
        *(("results", key, outputs or ()) for key, outputs in stored_outputs(store).items()),
        *(("runs", run, artifacts) for run, artifacts in runs.items()),
    ]
    found: dict[str, dict[str, list[str]]] = {}
    for kind, name, artifacts in named:
        for blob in reach.blobs(artifacts):
            found.setdefault(blob, {}).setdefault(kind, []).append(name)
    return found


def _unreadable(store: Store, entries: list[Entry], progress: Progress | None) -> dict[str, str]:
    """What is wrong with each blob that cannot be read as its digest promises."""
    total_bytes = sum(entry.size_bytes for entry in entries)
    done_bytes = 0
    found: dict[str, str] = {}
    for entry in entries:
        try:
            for chunk in store.blobs.open(Digest(entry.name)):
                done_bytes += len(chunk)
                if progress is not None:
                    progress(done_bytes, total_bytes)
        except NotFoundError:
            continue
        except CorruptBlobError:
            found[entry.name] = CORRUPT
        except OSError as e:  # a device that fails is what is looked for
            found[entry.name] = f"unreadable ({e.strerror})"
    return found


def _damage(blob: Digest, problem: str, owners: Mapping[str, list[str]]) -> Damage:
    return Damage(blob, problem, **{kind: tuple(names) for kind, names in owners.items()})
