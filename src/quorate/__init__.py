"""Quorate builds, runs, breaks and proves distributed systems, in Python."""

import sys

if sys.flags.optimize:  # assertions are our first checker: they stay on
    raise ImportError("quorate keeps its assertions: do not run it under python -O")
