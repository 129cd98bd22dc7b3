"""The engine that is always there: the standard library's process pool."""

import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from os import _exit

from quorate.lab.scale.answer import Answer, Lost, perform
from quorate.lab.scale.child import limit_time
from quorate.lab.scale.engine import Handle
from quorate.lab.scale.job import Job


class LocalEngine:
    """A pool of one process for each slot, so that a process that dies names the job that it ran.

    The standard pool breaks as a whole when one of its processes dies, and cannot say which of its jobs did it.
    """

    def __init__(self, slot_count: int, *, jobs_per_process: int = 1, preload: Sequence[str] = ()) -> None:
        """Start nothing yet.

        Args:
            slot_count: processes.
            jobs_per_process: a process is replaced after so many jobs: simulated programs leave dead tasks behind.
            preload: modules that the server of processes imports once, for all that it forks; no effect when this
                process has such a server already.
        """
        assert slot_count >= 1, "somebody must do the work"
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *preload])
        self._jobs_per_process = max(1, jobs_per_process)
        self._pools: list[ProcessPoolExecutor | None] = [None] * slot_count
        self._free = list(range(slot_count))
        self._waiting: deque[tuple[Handle, Job]] = deque()
        self._running: dict[Future[Answer], tuple[Handle, int]] = {}
        self._submitted_count = 0

    @property
    def slot_count(self) -> int:
        """Processes."""
        return len(self._pools)

    def submit(self, job: Job) -> Handle:
        """Hand out a job, or keep it until a process is free."""
        self._submitted_count += 1
        handle = Handle(self._submitted_count)
        self._waiting.append((handle, job))
        self._start()
        return handle

    def _start(self) -> None:
        while self._free and self._waiting:
            handle, job = self._waiting.popleft()
            slot = self._free.pop()
            pool = self._pools[slot]
            if pool is None:
                pool = self._pools[slot] = ProcessPoolExecutor(
                    1,
                    mp_context=self._context,
                    initializer=_begin,
                    max_tasks_per_child=self._jobs_per_process,
                )
            try:
                future = pool.submit(_perform, job)
            except BrokenProcessPool:
                # The idle process was ended from outside: nothing is lost, another one takes the job.
                self._drop(slot)
                self._free.append(slot)
                self._waiting.appendleft((handle, job))
                continue
            self._running[future] = (handle, slot)

    def results(self) -> Iterator[tuple[Handle, Answer]]:
        """Yield answers as they come; see `Engine`."""
        while self._running:
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda one: self._running[one][0]):
                handle, slot = self._running.pop(future)
                try:
                    answer = future.result()
                except BrokenProcessPool:
                    self._drop(slot)
                    answer = Lost("its process ended before it answered")
                self._free.append(slot)
                self._start()
                yield handle, answer

    def _drop(self, slot: int) -> None:
        pool, self._pools[slot] = self._pools[slot], None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def cancel(self) -> None:
        """End all processes; what they were doing is dropped."""
        self._waiting.clear()
        was_running = bool(self._running)
        self._running.clear()
        for slot, pool in enumerate(self._pools):
            if pool is None:
                continue
            if was_running:
                # No public name for it before 3.14; a process in the middle of a job would be waited for.
                for process in list((pool._processes or {}).values()):
                    process.terminate()
            self._drop(slot)


def _perform(job: Job) -> Answer:
    limit_time()
    return perform(job)


def _begin() -> None:
    """Leave Ctrl-C to the process that the person sees, and end when that one is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None, "a process of a pool has a parent"

    def end_with_parent() -> None:
        connection.wait([parent.sentinel])
        _exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
