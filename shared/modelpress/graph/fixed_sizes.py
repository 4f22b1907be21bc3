"""Which dynamic dimensions a module's code fixes, and on which line: what torch says of it, made plain."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from modelpress.graph.inputs import Inputs

FIXED = re.compile(
    r"(?P<source>L\['(?P<parameter>\w+)'\](?P<way>\S*?)\.size\(\)\[(?P<dim>\d+)\]) as dynamic "
    r".*?constant \((?P<size>\d+)\)"
)
ENTRY = "symbolic_shape_specialization"


def explain(error: Exception, inputs: Inputs, again: Callable[[], object]) -> str:
    """``dimension 1 ('length') of 'tokens' at 12 (line 31 of forward: ...)``; empty where ``error`` is of another kind.

    ``again`` repeats the export that raised ``error``: only when it is watched does torch say where.
    """
    found = list(FIXED.finditer(str(error)))
    if not found:
        return ""
    with _watched() as lines, suppress(type(error)):  # the same error, which the caller is about to tell
        again()
    return "; ".join(_told(match, inputs, lines.get(match["source"], "")) for match in found)


def _told(match: re.Match[str], inputs: Inputs, line: str) -> str:
    name = "_".join([match["parameter"], *re.findall(r"\w+", match["way"])])
    symbol = inputs.dynamic.get(name, {}).get(int(match["dim"]))
    where = f"dimension {match['dim']} ('{symbol}') of '{name}'" if symbol else match["source"]
    return f"{where} at {match['size']}{f' ({line})' if line else ''}"


class _Watcher(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        entry = getattr(record, "metadata", {}).get(ENTRY)
        if entry is None:
            return
        for frame in [f for f in entry["stack"] if f["name"] == "forward"][-1:]:
            for source in entry["sources"]:
                self.lines.setdefault(source, f"line {frame['line']} of forward: {frame['loc']}")


@contextmanager
def _watched() -> Iterator[dict[str, str]]:
    """Lines of the user's code by torch's name of the dimension that they fix."""
    logger, watcher = logging.getLogger("torch.__trace"), _Watcher()
    level = logger.level
    logger.addHandler(watcher)
    logger.setLevel(logging.DEBUG)
    try:
        yield watcher.lines
    finally:
        logger.setLevel(level)
        logger.removeHandler(watcher)
