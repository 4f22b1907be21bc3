"""The entry point ``modelpress``: runs the commands and turns errors into exit codes.

0 done; 1 the run failed, a gate refused, or something unexpected happened; 2 the input was wrong, or the store is
full or corrupt; 3 the server could
not be reached; 130 interrupted (Ctrl-C), after the run was cancelled.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from modelpress.errors import CorruptBlobError, InputError, ModelpressError, StoreFullError
from modelpress.report.format import printable

DEBUG_FLAG = "--debug"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line ``arguments`` (default: the process's own) and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG_FLAG in words
    for stream in (sys.stdout, sys.stderr):
        # A letter that the terminal lacks is written out: it is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    from modelpress.cli.app import app

    try:
        app([word for word in words if word != DEBUG_FLAG], prog_name="modelpress")
    except Exception as error:
        if debug:
            raise
        sys.stderr.write(complaint(error))
        sys.exit(exit_code(error))


def exit_code(error: Exception) -> int:
    """Full disks and corrupt blobs count as input: the user can mend them, and nothing was half written."""
    return 2 if isinstance(error, InputError | StoreFullError | CorruptBlobError) else 1


def complaint(error: Exception) -> str:
    """One block for stderr: what was wrong; for the unexpected also how to get the traceback."""
    if isinstance(error, ModelpressError):
        return printable(f"error: {error}\n")
    hint = f"run the command again with {DEBUG_FLAG} for the traceback"
    return printable(f"unexpected error: {type(error).__name__}: {error}\n{hint}\n")
