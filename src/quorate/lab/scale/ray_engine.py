"""Ray as the engine: processes of this machine, or a cluster that already runs."""

import logging
import os
from collections.abc import Iterator
from typing import Any

import msgspec

from quorate.kernel.errors import UsageError
from quorate.lab.scale.answer import Answer, Lost, Refused, decode_answer
from quorate.lab.scale.child import run_in_child
from quorate.lab.scale.engine import EngineFailed, Handle
from quorate.lab.scale.job import Job


class RayEngine:
    """Jobs as tasks of Ray, one processor each; each runs in a process of its own that the worker starts."""

    def __init__(self, address: str | None, *, slot_count: int = 1) -> None:
        """Connect.

        Args:
            address: as `ray.init` takes it: ray://host:port, or auto for the cluster of this machine; None starts one.
            slot_count: processors to use, when it is started here.

        Raises:
            UsageError: Ray is not installed.
            EngineFailed: nobody answers there.
        """
        # Ray reports its use to its makers unless told otherwise; campaigns are nobody's business.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as cause:
            raise UsageError("this engine needs Ray: pip install 'quorate[ray]'") from cause
        self._ray: Any = ray
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if address is None:
            # Nobody outside has business with it.
            here = {"_node_ip_address": "127.0.0.1", "include_dashboard": False}
            options |= {"address": "local", "num_cpus": slot_count, **here}
        else:
            options |= {"address": address}
        try:
            ray.init(**options)
        except ImportError as cause:
            raise UsageError(f"this engine needs Ray's client: pip install 'quorate[ray]' ({cause})") from cause
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as cause:
            hint = "" if address is None else "; a cluster that asks for a token needs RAY_AUTH_MODE=token here too"
            raise EngineFailed(f"no Ray cluster answers at {address or 'this machine'}: {cause}{hint}") from cause
        self._task: Any = ray.remote(num_cpus=1)(run_in_child)
        self._handles: dict[Any, Handle] = {}
        self._submitted_count = 0

    @property
    def slot_count(self) -> int:
        """Processors of the cluster, at this moment."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def submit(self, job: Job) -> Handle:
        """Hand out a job."""
        self._submitted_count += 1
        handle = Handle(self._submitted_count)
        self._handles[self._task.remote(msgspec.json.encode(job))] = handle
        return handle

    def results(self) -> Iterator[tuple[Handle, Answer]]:
        """Yield answers as they come; see `Engine`."""
        while self._handles:
            try:
                done, _ = self._ray.wait(list(self._handles), num_returns=1)
            except (ConnectionError, self._ray.exceptions.RaySystemError) as cause:
                raise EngineFailed(f"the Ray cluster is gone: {cause}") from cause
            for reference in done:
                handle = self._handles.pop(reference)
                yield handle, self._answer_of(reference)

    def _answer_of(self, reference: Any) -> Answer:
        errors = self._ray.exceptions
        lost = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError)
        try:
            return decode_answer(self._ray.get(reference))
        except lost as cause:
            return Lost(f"its Ray workers died: {cause}")
        except errors.RayTaskError as cause:
            return Refused(f"a Ray worker cannot run jobs: {cause}")
        except ConnectionError as cause:
            raise EngineFailed(f"the Ray cluster is gone: {cause}") from cause

    def cancel(self) -> None:
        """Drop all tasks, leave the cluster, and end it when it was started here."""
        for reference in self._handles:
            self._ray.cancel(reference, force=True)
        self._handles.clear()
        self._ray.shutdown()
