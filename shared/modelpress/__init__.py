"""Joint compression of neural networks, with the evidence. ``connect()`` is where a program starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from modelpress.client.client import Client

__version__ = "0.1.0"
__all__ = ["__version__", "connect"]


def connect(address: str | None = None, home: str | Path | None = None) -> Client:
    """A client of the engine in this process; see `modelpress.client.client.connect`."""
    from modelpress.client import client

    return client.connect(address, home)
