"""What a home holds once everything was run to its end: was anything lost, or accepted twice?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import floor
from pathlib import Path

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.store import Store
from modelpress.bus.ports import drain
from modelpress.engine.events import (
    EVENTS,
    Event,
    RunSubmitted,
    StepLogged,
    StepProgressed,
    StepStarted,
    StepSucceeded,
    parse_event,
)
from modelpress.engine.home import Home
from modelpress.engine.records import RunsView
from modelpress.engine.state import RunState, RunStatus
from modelpress.worker.results import StepResult, corrupt_blobs

TRAINING = "train"
RESUMED = "training goes on after epoch "
"""What the training loop calls its stage, and what it logs when it goes on from a checkpoint."""


@dataclass(frozen=True)
class Audit:
    """``lost`` runs did not succeed or lack an output; ``digests`` are the outputs in question of those that did."""

    submitted: int
    lost: int
    accepted_twice: int
    digests: frozenset[tuple[str, ...]]


def audit(root: Path, outputs: Sequence[str]) -> Audit:
    """Look at every run of the home ``root``: every blob of every output is read and verified."""
    home = Home(root)
    store = home.open_store()
    with closing(home.open_bus()) as bus:
        view = RunsView(bus)
        view.refresh()
        events = [parse_event(record.value) for record in drain(bus.tail([EVENTS]))]
    submitted = {event.run_id for event in events if isinstance(event, RunSubmitted)}
    kept = [state for run_id in submitted if (state := view.get(run_id)) and _is_whole(state, store)]
    twice = accepted_twice(events, store)
    digests = frozenset(tuple(state.outputs[name] for name in outputs) for state in kept)
    return Audit(len(submitted), len(submitted) - len(kept), len(twice), digests)


def _is_whole(state: RunState, store: Store) -> bool:
    if state.status is not RunStatus.SUCCEEDED or set(state.outputs) != set(state.plan.outputs):
        return False
    return not any(corrupt_blobs(store, Digest(digest)) for digest in state.outputs.values())


def accepted_twice(events: Iterable[Event], store: Store) -> set[str]:
    """Keys whose computed result was accepted more than once, or whose accepted results are not all the same.

    What ``results/<key>`` holds counts as one of them.
    """
    facts: dict[str, list[StepSucceeded]] = defaultdict(list)
    for event in events:
        if isinstance(event, StepSucceeded):
            facts[event.key].append(event)
    return {key for key, told in facts.items() if _is_twice(told, store.results.get(key))}


def _is_twice(told: Sequence[StepSucceeded], stored: bytes | None) -> bool:
    accepted = [event.outputs for event in told]
    if stored is not None:
        accepted.append(StepResult.model_validate_json(stored).outputs)
    computed = {(event.run_id, event.step_id, event.attempt) for event in told if not event.cached}
    return len(computed) > 1 or any(outputs != accepted[0] for outputs in accepted)


def epochs_redone(events: Iterable[Event]) -> int:
    """The most epochs of a training step that were begun before a restart and then again.

    An epoch was begun when the one before it was told as done. A restart says after which epoch it goes on; one that
    says nothing begins anew.
    """
    most, done, goes_on_after, restarted = 0, 0.0, 0, False
    for event in events:
        if isinstance(event, StepStarted):
            goes_on_after, restarted = 0, True
        elif isinstance(event, StepLogged) and event.text.startswith(RESUMED):
            goes_on_after = int(event.text.removeprefix(RESUMED).split()[0])
        elif isinstance(event, StepProgressed) and event.stage == TRAINING:
            if restarted and done:
                most = max(most, floor(done) + 1 - goes_on_after)
            done, restarted = event.done, False
    return most
