"""The user's own functions: what they need to be called, and where in them an error came from."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import modelpress

NOT_THEIRS = tuple(
    Path(folder).resolve()
    for folder in (*(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")), modelpress.__path__[0])
)


def required_arguments(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments without which ``function`` cannot be called."""
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins do not tell
        return []
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [a.name for a in arguments if a.default is a.empty and a.kind not in free]


def user_frames(error: BaseException) -> str:
    """The frames of ``error`` in the user's own files, the innermost last, each on a line of its own."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(Path(frame.filename))]
    return "".join(f"\n  {f.filename}:{f.lineno} in {f.name}: {f.line}" for f in frames)


def _is_users(path: Path) -> bool:
    """Whether a file is neither Python's, nor installed, nor ours."""
    return path.is_file() and not any(path.resolve().is_relative_to(folder) for folder in NOT_THEIRS)
