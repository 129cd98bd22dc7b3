"""Quorate builds, runs, breaks and proves distributed systems, in Python.

Example:
    >>> import quorate.sync
    >>> with quorate.sync.open(":memory:") as db:
    ...     version = db.put("greeting", "hello")
    ...     db.get("greeting")
    b'hello'
"""

import sys
from typing import TYPE_CHECKING, Any

if sys.flags.optimize:  # assertions are our first checker: they stay on
    raise ImportError("quorate keeps its assertions: do not run it under python -O")

if TYPE_CHECKING:
    from quorate.api import connect, join
    from quorate.api import open_ as open  # noqa: A004  (quorate.open reads like the builtin that it resembles)
    from quorate.sim import simulate

__version__ = "0.1.0"

__all__ = ["__version__", "connect", "join", "open", "simulate"]

_NAMES = {"open": "open_", "connect": "connect", "join": "join"}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `from quorate.crdt import …` does not load a server.
    if name == "simulate":
        from quorate import sim

        return sim.simulate
    if name in _NAMES:
        from quorate import api

        return getattr(api, _NAMES[name])
    raise AttributeError(f"module 'quorate' has no attribute {name!r}")
