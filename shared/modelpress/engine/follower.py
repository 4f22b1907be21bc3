"""Looking on while another process drives."""

from __future__ import annotations

import select
from collections.abc import Callable

from modelpress.bus.ports import Bus, drain
from modelpress.engine.events import EVENTS, PROGRESS, Event, readable
from modelpress.engine.records import RunsView
from modelpress.engine.state import RunState
from modelpress.errors import NotFoundError

OnEvent = Callable[[Event], None]
OnState = Callable[[RunState], None]


class Follower:
    """Tells the events of every run of a home, and the state of one, as they change."""

    def __init__(self, bus: Bus, view: RunsView, run_id: str, on_event: OnEvent, on_state: OnState) -> None:
        self._tail = bus.tail([EVENTS, PROGRESS], from_end=True)
        self._view = view
        self._run_id = run_id
        self._on_event = on_event
        self._on_state = on_state
        self._told: RunState | None = None

    def look(self) -> RunState:
        """Tell what is new; the run as it is now.

        Raises:
            NotFoundError: the run was removed.
        """
        self.catch_up()
        self._view.refresh()
        state = self._view.get(self._run_id)
        if state is None:
            raise NotFoundError(f"run {self._run_id} was removed while it was followed")
        if state is not self._told:
            self._told = state
            self._on_state(state)
        return state

    def catch_up(self) -> None:
        """Tell the events that came since."""
        for event in readable(drain(self._tail)):
            self._on_event(event)

    def wait(self, timeout_s: float) -> None:
        select.select([self._tail.fileno(), self._view.fileno()], [], [], timeout_s)

    def close(self) -> None:
        self._tail.close()
