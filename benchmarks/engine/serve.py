"""The other side of `contestant.Contestant`: a program that answers what it is asked, a JSON line each.

Programs of peers import this in an environment that has no modelpress: the standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping

Answer = Callable[..., list[float]]


def serve(answers: Mapping[str, Answer]) -> None:
    """Answer until standard input ends. What a library prints goes to standard error, so that it is no answer."""
    with os.fdopen(os.dup(1), "w", encoding="ascii") as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            request = json.loads(line)
            out.write(json.dumps(answers[request.pop("ask")](**request)) + "\n")
            out.flush()
