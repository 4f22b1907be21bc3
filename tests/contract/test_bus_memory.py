from __future__ import annotations

import pytest

from modelpress.bus.memory import MemoryBus, MemoryLog
from modelpress.bus.ports import Bus, Consumer
from modelpress.bus.reader import LogConsumer
from modelpress.testing.bus import BusContract


class TestMemoryBus(BusContract):
    @pytest.fixture(autouse=True)
    def _log(self) -> None:
        self.log = MemoryLog()

    def open_bus(self) -> Bus:
        return MemoryBus(self.log)

    def abandon(self, consumer: Consumer) -> None:
        assert isinstance(consumer, LogConsumer)
        consumer.membership.leave(consumer.name)
