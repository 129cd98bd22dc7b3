"""Dask as the engine: processes of this machine, or workers behind a scheduler that already runs."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from quorate.kernel.errors import UsageError
from quorate.lab.scale.answer import Answer, Lost, Refused, decode_answer
from quorate.lab.scale.child import run_in_child
from quorate.lab.scale.engine import EngineFailed, Handle
from quorate.lab.scale.job import Job

CONNECT_TIMEOUT_S = 20


class DaskEngine:
    """Jobs as tasks of Dask; each runs in a process of its own that the worker starts (see `child`)."""

    def __init__(self, address: str | None, *, slot_count: int = 1) -> None:
        """Connect.

        Args:
            address: host:port of a scheduler; None starts one here, with workers.
            slot_count: worker processes, when they are started here.

        Raises:
            UsageError: Dask is not installed.
            EngineFailed: nobody answers there.
        """
        try:
            import distributed
        except ImportError as cause:
            raise UsageError("this engine needs Dask: pip install 'quorate[dask]'") from cause
        self._cluster: Any = None
        if address is None:
            with _workers_ignore_interrupts():
                self._cluster = distributed.LocalCluster(
                    n_workers=slot_count,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
        try:
            self._client: Any = distributed.Client(
                self._cluster if address is None else f"tcp://{address}",
                timeout=CONNECT_TIMEOUT_S,
                set_as_default=False,
            )
        except (OSError, ValueError) as cause:
            self.cancel()
            raise EngineFailed(f"no Dask scheduler answers at {address}: {cause}") from cause
        self._name = address or "this machine"
        self._handles: dict[Any, Handle] = {}
        self._completed: Any = distributed.as_completed(loop=self._client.loop)
        self._submitted_count = 0

    @property
    def slot_count(self) -> int:
        """Threads of all workers, at this moment."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return max(1, sum(int(worker["nthreads"]) for worker in workers.values()))

    def submit(self, job: Job) -> Handle:
        """Hand out a job; with no worker yet it waits at the scheduler."""
        self._submitted_count += 1
        handle = Handle(self._submitted_count)
        # Under its address and number: a job that is submitted again is one that Dask has not met.
        future = self._client.submit(
            run_in_child, msgspec.json.encode(job), key=f"quorate-{job.address}-{handle}", pure=False
        )
        self._handles[future] = handle
        self._completed.add(future)
        return handle

    def results(self) -> Iterator[tuple[Handle, Answer]]:
        """Yield answers as they come; see `Engine`."""
        while self._handles:
            future = next(self._completed)
            handle = self._handles.pop(future)
            answer = self._answer_of(future)
            future.release()
            yield handle, answer

    def _answer_of(self, future: Any) -> Answer:
        if future.status == "finished":
            return decode_answer(future.result())
        if future.status != "error":
            # Cancelled: not by us, so the scheduler has gone, or has forgotten us.
            raise EngineFailed(f"the Dask scheduler at {self._name} is gone, or has dropped what it was given")
        cause = future.exception()
        if type(cause).__name__ == "KilledWorker":
            return Lost(f"its Dask workers died: {cause}")
        return Refused(f"a Dask worker cannot run jobs: {type(cause).__name__}: {cause}")

    def cancel(self) -> None:
        """Drop all tasks, leave the scheduler, and end it when it was started here."""
        client, cluster = getattr(self, "_client", None), self._cluster
        self._client = self._cluster = None
        with suppress(OSError, TimeoutError):
            if client is not None:
                if self._handles:
                    client.cancel(list(self._handles), force=True)
                    self._handles.clear()
                client.close()
        if cluster is not None:
            cluster.close()


@contextmanager
def _workers_ignore_interrupts() -> Iterator[None]:
    """Leave Ctrl-C to this process: what is started in this block inherits that it is ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
