"""The surroundings of every test: one thread, and a Ctrl-C that arrives."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# Tests are small, and beside other load two threads of torch are slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A job in the background of a script ignores SIGINT and hands that down to the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# More of what hypothesis finds, in minutes: ``--hypothesis-profile=thorough``.
settings.register_profile("thorough", max_examples=10_000)
