from __future__ import annotations

from pathlib import Path

import pytest

from modelpress.bus.ports import Bus, Consumer
from modelpress.bus.reader import LogConsumer
from modelpress.bus.sqlite import Durability, SqliteBus
from modelpress.testing.bus import BusContract


@pytest.mark.parametrize("durability", ["process", "power"])
class TestSqliteBus(BusContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path, durability: Durability) -> None:
        self.path = tmp_path / "bus.sqlite"
        self.durability: Durability = durability

    def open_bus(self) -> Bus:
        return SqliteBus(self.path, self.durability)

    def abandon(self, consumer: Consumer) -> None:
        """Nobody answers under the member's name, as after its death."""
        assert isinstance(consumer, LogConsumer)
        (self.path.with_name("bus.sqlite-readers") / consumer.name).unlink()
