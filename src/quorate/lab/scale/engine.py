"""The seam between campaigns and whatever runs their jobs."""

from collections.abc import Iterator
from typing import NewType, Protocol

from quorate.kernel.errors import QuorateError
from quorate.lab.scale.answer import Answer
from quorate.lab.scale.job import Job

Handle = NewType("Handle", int)
"""Names one submission of a job; a job that is submitted again has another."""


class EngineFailed(QuorateError):
    """The engine itself is gone; what was answered so far stays in the campaign's file, which goes on elsewhere."""

    code = "ENGINE"


class Engine(Protocol):
    """Runs jobs in other processes, here or on other machines. Three methods, and how wide it is.

    Guarantees: each submission is answered exactly once, or `results` raises. A job that ends its own process is
    answered with `Lost` and takes no other job along. An engine may run a job several times when machines fail, since
    jobs are pure. Not thread-safe: one campaign drives it.
    """

    @property
    def slot_count(self) -> int:
        """How many jobs run at once; may change as workers come and go, and is at least 1."""
        ...

    def submit(self, job: Job) -> Handle:
        """Hand out a job; return at once.

        Raises:
            EngineFailed: there is nobody to take it.
        """
        ...

    def results(self) -> Iterator[tuple[Handle, Answer]]:
        """Yield answers as they come until no submission is out; more may be submitted in between.

        Raises:
            EngineFailed: answers can no longer come.
        """
        ...

    def cancel(self) -> None:
        """Drop all that is out, end the processes that this engine has started, and be done; may be called twice."""
        ...
