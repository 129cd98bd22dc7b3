"""Drives jobs through an engine: hands them out, runs lost ones again, keeps what comes back."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import msgspec

from quorate.lab.scale.answer import Answer, Lost, Raised, Refused, Returned
from quorate.lab.scale.engine import Engine, EngineFailed, Handle
from quorate.lab.scale.job import Job
from quorate.lab.scale.results import Results

# Jobs that are out, for each that can run: so many that nobody waits for us.
AHEAD: Final = 2
# A job whose process died so often is not run again.
LOSS_COUNT_MAX: Final = 2


class Found(msgspec.Struct, frozen=True):
    """A job with its result."""

    job: Job
    # JSON.
    result: msgspec.Raw
    # Whether the file had it already.
    is_known: bool


class Trouble(msgspec.Struct, frozen=True):
    """A job without a result."""

    job: Job
    # killed: it ended its process, twice; raised: its function raised.
    kind: Literal["killed", "raised"]
    sentence: str

    def __str__(self) -> str:
        words = f"ended its process {LOSS_COUNT_MAX} times" if self.kind == "killed" else "raised"
        return f"{self.job.words}: {words}: {self.sentence}"


class Report(msgspec.Struct):
    """How the jobs of a campaign went."""

    # Results that were computed now, and those that the file had already.
    done_count: int = 0
    reused_count: int = 0
    # Jobs that were handed out again because the process that ran them died.
    rerun_count: int = 0
    troubles: list[Trouble] = msgspec.field(default_factory=list)
    is_interrupted: bool = False


class Drive:
    """Drives the jobs of one campaign; `report` may be looked at from the callbacks."""

    def __init__(
        self,
        engine: Engine,
        results: Results | None,
        on_result: Callable[[Found], None],
        *,
        on_trouble: Callable[[Trouble], None] = lambda _trouble: None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run nothing yet.

        Args:
            engine: runs the jobs.
            results: what is known already, and where results are kept; None keeps nothing.
            on_result: called once for each job that has a result, in the order in which they come.
            on_trouble: called for a job that has none and will not be tried again.
            is_over: no further job is handed out once it says so; those that are out come to their end.
        """
        self.report = Report()
        self._engine = engine
        self._results = results
        self._on_result = on_result
        self._on_trouble = on_trouble
        self._is_over = is_over
        self._out: dict[Handle, Job] = {}
        self._loss_counts: dict[str, int] = {}

    def run(self, jobs: Iterable[Job]) -> Report:
        """Run all jobs; also after Ctrl-C there is a report, then marked as interrupted.

        Raises:
            EngineFailed: the engine is gone, or its workers cannot run these jobs. What came back before is kept.
        """
        plan = iter(jobs)
        try:
            is_more = self._hand_out(plan)
            for handle, answer in self._engine.results():
                self._take(self._out.pop(handle), answer)
                is_more = is_more and self._hand_out(plan)
        except KeyboardInterrupt:
            self.report.is_interrupted = True
        return self.report

    def _hand_out(self, plan: Iterator[Job]) -> bool:
        """Fill the engine; return whether there may be more."""
        wanted = self._engine.slot_count * AHEAD
        while len(self._out) < wanted:
            if self._is_over():
                return False
            job = next(plan, None)
            if job is None:
                return False
            known = self._results.get(job.address) if self._results is not None else None
            if known is not None:
                self.report.reused_count += 1
                self._on_result(Found(job, known, is_known=True))
            else:
                self._submit(job)
        return True

    def _submit(self, job: Job) -> None:
        self._out[self._engine.submit(job)] = job

    def _take(self, job: Job, answer: Answer) -> None:
        match answer:
            case Returned(result):
                if self._results is not None:
                    self._results.put(job, answer)
                self.report.done_count += 1
                self._on_result(Found(job, result, is_known=False))
            case Raised(sentence):
                if self._results is not None:
                    self._results.put(job, answer)
                self._give_up(Trouble(job, "raised", sentence))
            case Lost(sentence):
                count = self._loss_counts[job.address] = self._loss_counts.get(job.address, 0) + 1
                if count < LOSS_COUNT_MAX:
                    self.report.rerun_count += 1
                    self._submit(job)
                    return
                if self._results is not None:
                    self._results.put_killed(job, sentence)
                self._give_up(Trouble(job, "killed", sentence))
            case Refused(sentence):
                raise EngineFailed(sentence)

    def _give_up(self, trouble: Trouble) -> None:
        self.report.troubles.append(trouble)
        self._on_trouble(trouble)
