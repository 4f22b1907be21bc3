"""Tests run on one thread: they are small, and beside other load two threads of torch are slower than one."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
