"""Wrong wall clocks for processes that we start, through libfaketime.

The library is loaded before the C library and answers for it; what it adds stands in a file per node, which it reads
anew at every call, so a clock is changed while its process runs. The monotonic clock is left alone, as a kernel's is
when somebody sets the time: whoever measures a time-out by it sees nothing.

Programs that ask the kernel without the C library, as those in Go do, cannot be reached.
Source: https://github.com/wolfcw/libfaketime (README, section 4).
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from quorate.kernel import NodeId, errors

_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")
_LIBRARY = "libfaketimeMT.so.1"  # the one for programs with threads


class FakeClocks:
    """One wall clock per node, right until it is set.

    Raises:
        UsageError: libfaketime is not installed.
    """

    def __init__(self) -> None:
        self._library = _find_library()
        self._directory = Path(tempfile.mkdtemp(prefix="quorate-clocks-"))
        # Servers that run as another user read their clock here.
        self._directory.chmod(0o755)

    def environment(self, node: NodeId) -> Mapping[str, str]:
        """Return the variables under which a node's processes must be started."""
        path = self._path(node)
        if not path.exists():
            self.set(node, 0.0)
        return {
            # The C library's own allocator goes before any other: Redis' asks for the time while it sets itself up, and
            # libfaketime allocates while it does, so the two would wait for each other.
            "LD_PRELOAD": f"{self._library}:libc.so.6",
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else timed waits on a condition return at once or late (glibc since 2.25, seen with Java).
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def set(self, node: NodeId, offset_s: float) -> None:
        """Let a node's wall clock differ from the true one from now on, seconds."""
        path = self._path(node)
        fresh = path.with_suffix(".new")
        fresh.write_text(f"{offset_s:+.3f}\n", encoding="ascii")
        fresh.chmod(0o644)
        os.replace(fresh, path)  # a reader sees the old or the new line, never half of one

    def close(self) -> None:
        """Remove the files; never raises."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _path(self, node: NodeId) -> Path:
        return self._directory / f"clock-{node}"


def _find_library() -> Path:
    for place in _PLACES:
        for found in sorted(Path("/").glob(f"{place[1:]}/{_LIBRARY}")):
            return found
    raise errors.UsageError("there is no libfaketime here, which skew needs: install the faketime package")
