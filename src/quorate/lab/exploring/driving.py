"""A search in slices: between them the screen, the file and the bound are looked at."""

import contextlib
import hashlib
import os
import time
from concurrent.futures import BrokenExecutor
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from quorate.check import explore as x
from quorate.kernel import errors
from quorate.lab.exploring.options import ExploreOptions
from quorate.lab.exploring.pool import Workers

# States between two looks at the clock and the file.
_SLICE_STATES: Final = 2_000
# Between two lines of progress where there is no screen to draw them on.
_LINE_SECONDS: Final = 10.0
_CHECKPOINT_HEAD: Final = b"quorate exploration 2\n"


class Driving:
    """Runs one search to its end, its bound or Ctrl-C."""

    def __init__(self, search: x.Search[Any, Any], options: ExploreOptions, console: Console) -> None:
        self.search = search
        self.options = options
        self.console = console
        self.last = x.Progress(0, 0, 0, 0)
        search.progress = self._note
        self.began = self.saved = self.told = time.monotonic()
        self.first_count = 0
        self._live: Live | None = None

    def run(self) -> tuple[x.Exploration[Any], x.Progress, bool]:
        """Search; return what was found, how far it came, and whether it was interrupted."""
        self._load()
        is_interrupted = False
        # A search that knows enough already still concludes.
        found = self.search.run(state_count_max=0)
        self.first_count = self.last.state_count
        with contextlib.ExitStack() as stack:
            pool = None
            if self.options.worker_count > 1:
                pool = stack.enter_context(Workers(self.options, self.options.worker_count))
            self._live = stack.enter_context(Live(console=self.console, transient=True, auto_refresh=False))
            while self.last.frontier_count and not self._is_done(found):
                limit = self.last.state_count + _SLICE_STATES
                if self.options.state_count_max:
                    limit = min(limit, self.options.state_count_max)
                try:
                    found = self.search.run(state_count_max=limit, pool=pool)
                except KeyboardInterrupt:
                    # A state may be half expanded: only what the last checkpoint holds is whole.
                    is_interrupted = True
                    break
                except BrokenExecutor as cause:
                    # Nothing of a share is taken in before its answer is here, so the search itself is whole.
                    self._save()
                    kept = f"; {self.options.checkpoint} goes on from here" if self.options.checkpoint else ""
                    raise errors.UsageError(
                        f"a worker has ended (killed, or short of memory) after {self.last.state_count} states{kept}; "
                        "try fewer --workers"
                    ) from cause
                if time.monotonic() - self.saved >= self.options.checkpoint_seconds:
                    self._save()
        if not is_interrupted:
            self._save()
        return found, self.last, is_interrupted

    def _is_done(self, found: x.Exploration[Any]) -> bool:
        bound = self.options.state_count_max
        is_refuted = any(p.kind == "always" and p.name in found.counterexamples for p in self.search.properties)
        return is_refuted or bool(bound and found.state_count >= bound)

    def _note(self, progress: x.Progress) -> None:
        self.last = progress
        if self._live is None:
            return
        elapsed = max(time.monotonic() - self.began, 1e-9)
        rate = (progress.state_count - self.first_count) / elapsed
        words = f"{progress.state_count:,} states  {rate:,.0f} states/s  depth {progress.depth}"
        words += f"  frontier {progress.frontier_count:,}"
        if self.console.is_terminal:
            self._live.update(Text(words), refresh=True)
        elif time.monotonic() - self.told > _LINE_SECONDS:
            self.told = time.monotonic()
            self.console.print(words, highlight=False)

    def _load(self) -> None:
        path = self.options.checkpoint
        if path is None or not path.exists():
            return
        data = path.read_bytes()
        head = _CHECKPOINT_HEAD + self.options.digest()
        if not data.startswith(_CHECKPOINT_HEAD):
            raise errors.UsageError(f"{path} is no checkpoint of an exploration by this version")
        if not data.startswith(head):
            raise errors.UsageError(f"{path} is of a search with another system, scope or order")
        body, checksum = data[len(head) : -16], data[-16:]
        if hashlib.blake2b(body, digest_size=16).digest() != checksum:
            raise errors.UsageError(f"{path} is damaged; remove it to begin anew")
        self.search.restore(body)

    def _save(self) -> None:
        path = self.options.checkpoint
        if path is None:
            return
        body = self.search.checkpoint()
        checksum = hashlib.blake2b(body, digest_size=16).digest()
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(_CHECKPOINT_HEAD + self.options.digest() + body + checksum)
        # In one step, so that a crash leaves the old one or the new one.
        os.replace(fresh, path)
        self.saved = time.monotonic()
