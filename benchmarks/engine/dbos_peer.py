"""No-op steps in DBOS on SQLite, in its fastest forms: one workflow that loops, one that gathers.

``python -m benchmarks.engine.dbos_peer FOLDER JOURNAL SYNCHRONOUS``; JOURNAL is ``shipped`` (DBOS sets neither:
SQLite's defaults are a rollback journal and FULL) or ``wal``. A step runs in this process, and what it returns is its
stored output: a row of the table ``operation_outputs``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import sqlalchemy
from dbos import DBOS
from sqlalchemy import event

from benchmarks.engine.serve import serve


def report(index: int, source: str) -> str:
    return f'{{"name": "step-{index}", "value": {index}, "source": "{source[:40]}"}}'


async def report_async(index: int) -> str:
    return report(index, "")


def main() -> None:
    folder, journal, synchronous = sys.argv[1:]
    if journal == "wal":
        _tune(journal, synchronous)
    DBOS(
        config={
            "name": "overhead",
            "system_database_url": f"sqlite:///{folder}/dbos.sqlite",
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    step, async_step = DBOS.step()(report), DBOS.step()(report_async)

    def chain(steps: int) -> str:
        source = ""
        for index in range(steps):
            source = step(index, source)
        return source

    async def fanout(steps: int) -> list[str]:
        return list(await asyncio.gather(*(async_step(index) for index in range(steps))))

    chain_workflow, fanout_workflow = DBOS.workflow()(chain), DBOS.workflow()(fanout)
    DBOS.launch()
    serve(
        {
            "chain": lambda steps: _timed(lambda: chain_workflow(steps)),
            "fanout": lambda steps: _timed(lambda: asyncio.run(fanout_workflow(steps))),
        }
    )
    DBOS.destroy()


def _timed(work: Any) -> list[float]:
    began = time.perf_counter()
    work()
    return [time.perf_counter() - began]


def _tune(journal: str, synchronous: str) -> None:
    """Every connection that DBOS opens gets these settings: it has none of its own for them."""

    def on_connect(connection: Any, record: Any) -> None:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute(f"PRAGMA synchronous={synchronous}")

    event.listen(sqlalchemy.Engine, "connect", on_connect)


if __name__ == "__main__":
    main()
