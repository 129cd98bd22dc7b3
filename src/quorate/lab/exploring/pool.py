"""Workers: the standard process pool, which expands the shares of a search."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process
from typing import Final, Self

from quorate.check import explore as x
from quorate.lab.exploring.catalogue import make_explorable
from quorate.lab.exploring.options import Explorable, ExploreOptions

# Shares on their way for each worker: one that it works on, and those that wait so that it never does.
_SHARES_PER_WORKER: Final = 3

_made: dict[ExploreOptions, Explorable] = {}


class Workers:
    """Processes that expand states of one system; use it as a context.

    Complexity: a share costs one pickle there and one back; a state travels packed.
    """

    def __init__(self, options: ExploreOptions, worker_count: int) -> None:
        self.options = options
        self.share_count = worker_count * _SHARES_PER_WORKER
        self._pool = ProcessPoolExecutor(worker_count, mp_context=get_context("forkserver"), initializer=_begin)

    def expand(self, states: Sequence[bytes]) -> Callable[[], list[list[x.Successor]]]:
        """Begin to expand states; see `quorate.check.explore.Pool`."""
        return self._pool.submit(_expand, self.options, tuple(states)).result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def _begin() -> None:
    # Ctrl-C is for the one who shows the results.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End when whoever asked is gone: after a kill nobody says goodbye."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _expand(options: ExploreOptions, states: tuple[bytes, ...]) -> list[list[x.Successor]]:
    made = _made.get(options)
    if made is None:
        made = _made[options] = make_explorable(options)
    return x.expand_share(made.system, made.properties, states)
