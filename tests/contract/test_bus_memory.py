from __future__ import annotations

import pytest

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Bus
from modelpress.testing.bus import BusContract


class TestMemoryBus(BusContract):
    @pytest.fixture(autouse=True)
    def _log(self) -> None:
        self.log = MemoryBus()

    def open_bus(self) -> Bus:
        return self.log
