"""Benchmarks of the parts, each beside its rivals where it has any: `clocks.run`, `crdt.run`, and so on."""

import importlib
from typing import Any, Final

from quorate.kernel.errors import UsageError
from quorate.lab.bench_parts.timing import BenchRow, to_text

__all__ = ["PARTS", "BenchRow", "part", "to_text"]

PARTS: Final = ("anti_entropy", "clocks", "crdt", "leaderless", "sketches", "placement")


def part(name: str) -> Any:
    """Return the module with the benchmarks of a part: `run()` measures them. One at a time, for some need more.

    Raises:
        UsageError: there is no such part, or NumPy is not installed and the part needs it.
    """
    if name not in PARTS:
        raise UsageError(f"no part is named {name!r}; there are {', '.join(PARTS)}")
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as cause:
        if cause.name != "numpy":
            raise
        raise UsageError(f"the benchmarks of {name} need NumPy: pip install 'quorate[numpy]'") from cause
