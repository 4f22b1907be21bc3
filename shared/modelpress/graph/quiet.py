"""Keeping torch's exporters from talking into the user's terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def quiet(loggers: Sequence[str], level: int) -> Iterator[None]:
    """No warnings, and of ``loggers`` only what is of ``level`` or above; errors still come through."""
    found = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in found]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in found:
                logger.setLevel(level)
            yield
        finally:
            for logger, before in zip(found, levels, strict=True):
                logger.setLevel(before)
