"""A run as a program holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelpress.artifacts.digest import Digest
from modelpress.client.following import Write, follow, follow_logs, watch
from modelpress.client.refs import Ref, ref_of
from modelpress.client.upkeep import export_run
from modelpress.engine.state import RunState, RunStatus
from modelpress.errors import NotFoundError, nearest
from modelpress.report.evidence import verdict

if TYPE_CHECKING:
    from modelpress.client.client import Client
    from modelpress.report.evidence import Candidate


class Outputs(dict[str, Ref]):
    """A run's outputs by name; says why one is not there."""

    def __init__(self, run: RunState, refs: dict[str, Ref]) -> None:
        super().__init__(refs)
        self._run = run

    def __missing__(self, name: str) -> Ref:
        planned = self._run.plan.outputs
        if name in planned:
            why = f" ({verdict(self._run)})" if self._run.status.final else ": wait() for it"
            raise NotFoundError(f"run {self._run.run_id} is {self._run.status} and has no output '{name}'{why}")
        raise NotFoundError(f"run {self._run.run_id} has no output '{name}': {nearest(name, planned)}")


class Run:
    """A pipeline that was submitted. Everything but ``id`` is read anew each time."""

    def __init__(self, client: Client, run_id: str) -> None:
        self._client = client
        self.id = run_id

    @property
    def state(self) -> RunState:
        """The whole record: plan, inputs, steps, provenance."""
        return self._client.engine.get(self.id)

    @property
    def status(self) -> RunStatus:
        return self.state.status

    @property
    def succeeded(self) -> bool:
        return self.status is RunStatus.SUCCEEDED

    @property
    def verdict(self) -> str:
        """A sentence: what came out, or why nothing did."""
        return verdict(self.state)

    @property
    def outputs(self) -> Outputs:
        """What there is of the pipeline's outputs, by name. A refused run has them, a failed one those it reached."""
        state = self.state
        store = self._client.store
        found = {name: ref_of(store, Digest(digest), f"{self.id}.{name}") for name, digest in state.outputs.items()}
        return Outputs(state, found)

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """By step and name."""
        return {name: dict(step.metrics) for name, step in self.state.steps.items()}

    def candidates(self) -> tuple[Candidate, ...]:
        """What was measured, side by side: the original, this pipeline's result, plain baselines."""
        return self._client.facts(self.id).candidates

    def wait(self, progress: bool = True) -> Run:
        """Drive the run (and what else is unfinished in this home) until it ends; return it.

        A run that failed, or that a gate refused, does not raise: look at ``status`` and ``verdict``. ``progress``
        shows steps, metrics and time left on standard error.

        Raises:
            KeyboardInterrupt: Ctrl-C; the run was cancelled, and ``resume`` goes on from what it finished.
        """
        follow(self._client.engine, self.id, progress)
        return self

    def watch(self, progress: bool = True) -> Run:
        """Look on while another process drives the home, until the run ends; return it. Where none does, it waits.

        Raises:
            KeyboardInterrupt: Ctrl-C; the run goes on.
        """
        watch(self._client.engine, self.id, progress)
        return self

    def cancel(self) -> RunStatus:
        """End the run and its steps; what was finished stays in the cache. The run's status after it."""
        return self._client.engine.cancel(self.id).status

    def resume(self) -> Run:
        """A new run of the same pipeline on the same inputs, whose finished steps are cache hits; itself if not ended.

        Raises:
            NotFoundError: a method of it is no longer installed.
        """
        return Run(self._client, self._client.engine.resume(self.id))

    def remove(self) -> None:
        """Forget the run and its logs; what only it kept is collected by `Client.gc`.

        Raises:
            InputError: it has not ended.
        """
        self._client.engine.remove(self.id)

    def logs(self, step: str) -> str:
        """The log of a step, in all its attempts.

        Raises:
            NotFoundError: the run has no such step.
        """
        return self._client.engine.logs(self.id, step)

    def follow_logs(
        self, write: Write, step: str | None = None, on_wait: Callable[[], None] = lambda: None
    ) -> RunState:
        """Tell ``write`` (step, text) what a step, or every step, wrote and writes, until the run ends; how it ended.

        ``on_wait`` is called now and then meanwhile.

        Raises:
            NotFoundError: the run has no such step.
            KeyboardInterrupt: Ctrl-C; the run goes on.
        """
        return follow_logs(self._client.engine, self.id, step, write, on_wait)

    def export(self, path: str | Path) -> Path:
        """Write the run with its artifacts, results and logs as one file for `Client.import_run`; return where.

        Raises:
            InputError: it has not ended, something of it is no longer in the store, or ``path`` cannot be written.
        """
        return export_run(self._client.engine, self.id, Path(path))

    def report(self, path: str | Path, beside: Sequence[Candidate] = ()) -> Path:
        """Write the run's report, one HTML file that needs nothing else; return where.

        ``beside`` are baselines that were measured elsewhere, to stand in its table and plots.

        Raises:
            InputError: ``path`` cannot be written.
        """
        return self._client.write_report(self.id, Path(path), beside)

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self.state.plan.name}, {self.status}>"
