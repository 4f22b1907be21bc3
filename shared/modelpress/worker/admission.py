"""From a command to an attempt: is it for this worker, and under which key does its result belong?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from modelpress.bus.ports import Record
from modelpress.catalogue import Catalogue, MethodInfo
from modelpress.engine.events import StepCommand
from modelpress.errors import InputError
from modelpress.pipeline.keys import step_key
from modelpress.worker.attempt import Attempt
from modelpress.worker.fingerprint import target_fingerprint
from modelpress.worker.logs import StepLog


class Admission:
    """What a worker of so many ``cores`` does for ``tenant``: the methods of ``catalogue``, as they are installed."""

    def __init__(self, catalogue: Catalogue, tenant: str, cores: int, log_path: Callable[[str, str], Path]) -> None:
        self._catalogue, self._tenant, self._cores, self._log_path = catalogue, tenant, cores, log_path

    def attempt(self, record: Record, command: StepCommand, now_s: float) -> Attempt:
        """What is to be done.

        Raises:
            InputError: it cannot be done by this worker.
        """
        if command.tenant != self._tenant:
            raise InputError(f"the step is of tenant '{command.tenant}', this worker serves '{self._tenant}'")
        info = self._method(command)
        return Attempt(
            command=command,
            record=record,
            info=info,
            key=command.key or self._measurement_key(command),
            cores=self._cores if command.alone else min(command.threads, self._cores),
            log=StepLog(self._log_path(command.run_id, command.step_id)),
            read_s=now_s,
            renewed_s=now_s,
        )

    def _method(self, command: StepCommand) -> MethodInfo:
        info = self._catalogue[command.uses]
        if info.version != command.version:
            asked, installed = command.version, info.version
            raise InputError(f"'{command.uses}' was planned as version {asked}, installed is {installed}: submit again")
        return info

    def _measurement_key(self, command: StepCommand) -> str:
        return step_key(
            tenant=command.tenant,
            method=command.uses,
            version=command.version,
            params=command.params,
            inputs=command.inputs,
            seed=command.seed,
            threads=command.threads,
            extra={"target": self._target},
        )

    @cached_property
    def _target(self) -> str:
        return target_fingerprint()
