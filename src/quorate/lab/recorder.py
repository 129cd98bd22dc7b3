"""The recorder: every call becomes an invoke and then an ok, a fail or an info.

ok says that it happened; fail that it did not and will not; info that nobody knows. After an info the logical process
is retired, because its call stays open for ever, and a new number takes its place.
"""

import time
from collections import Counter
from collections.abc import Callable

import msgspec

from quorate.check import Event, History
from quorate.kernel import NodeId, errors

# What a client answers: a value, the truth about a condition, a sum, the members of a set, or nothing.
Result = int | bool | list[int] | None


class Call(msgspec.Struct, kw_only=True):
    """One operation as the report shows it; mutable until it completes."""

    # Place of its invocation among the history's events.
    index: int
    process: int
    # The client's actor behind the process; it survives retirement.
    worker: int
    f: str
    key: str
    value: int | tuple[int, int] | None
    invoke_ns: int
    # "open" until it completes.
    outcome: str = "open"
    complete_ns: int = 0
    result: Result = None
    error: str | None = None

    @property
    def is_update(self) -> bool:
        """Whether it would change something."""
        return self.f != "read"

    @property
    def was_served(self) -> bool:
        """Whether the system did its work: a conflict between clients is an answer, not a failure."""
        return self.outcome == "ok" or (self.error or "").startswith("CONFLICT")


class Recorder:
    """Collects the events of one trial, on one thread, in real-time order.

    Args:
        clock: returns nanoseconds; never moves back. Time zero is the recorder's making.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._start_ns = clock()
        self.events: list[Event] = []
        self.calls: list[Call] = []
        self.outcomes: Counter[str] = Counter()
        self.error_codes: Counter[str] = Counter()

    def now_ns(self) -> int:
        """Return nanoseconds since the trial began."""
        return self._clock() - self._start_ns

    def invoke(self, *, process: int, worker: int, f: str, key: str, value: int | tuple[int, int] | None) -> Call:
        """Note that a call is about to be made."""
        now = self.now_ns()
        call = Call(
            index=len(self.events), process=process, worker=worker, f=f, key=key, value=value, invoke_ns=now
        )  # fmt: skip
        self.calls.append(call)
        self._note(call, "invoke", now, list(value) if isinstance(value, tuple) else value, None)
        return call

    def ok(self, call: Call, result: Result) -> None:
        """Note that a call returned."""
        self._complete(call, "ok", result if call.f != "write" else call.value, None)

    def failed(self, call: Call, error: Exception) -> bool:
        """Note that a call raised; return whether its process is retired (nobody knows what happened).

        Anything that is not a `DefiniteError` or a `UsageError` counts as unknown: a doubt is never a fail.
        """
        is_definite = isinstance(error, errors.DefiniteError | errors.UsageError)
        code = error.code if isinstance(error, errors.QuorateError) else type(error).__name__
        self.error_codes[code] += 1
        self._complete(call, "fail" if is_definite else "info", None, f"{code} {error}".strip()[:200])
        return not is_definite

    def fault(self, name: str, detail: str) -> None:
        """Note what the nemesis did."""
        now = self.now_ns()
        self.events.append(
            Event(index=len(self.events), time=now, process="nemesis", type="info", f=name, value=detail)
        )

    def history(self) -> History:
        """Return what was recorded so far; open calls stay open. Complexity: O(n)."""
        return History(self.events)

    def _complete(self, call: Call, outcome: str, result: object, error: str | None) -> None:
        assert call.outcome == "open", "a call completes once"
        now = self.now_ns()
        call.outcome, call.complete_ns, call.error = outcome, now, error
        if isinstance(result, int) or result is None:
            call.result = result
        self.outcomes[outcome] += 1
        self._note(call, outcome, now, result, error)

    def _note(self, call: Call, kind: str, now: int, value: object, error: str | None) -> None:
        assert kind in {"invoke", "ok", "fail", "info"}, "an event has one of four types"
        self.events.append(
            Event(
                index=len(self.events),
                time=now,
                process=call.process,
                type=kind,  # type: ignore[arg-type]  # asserted above
                f=call.f,
                key=call.key,
                value=value,
                error=error,
            )
        )


def where(worker: int, nodes: tuple[NodeId, ...]) -> NodeId:
    """Return the node that a worker talks to, where clients are spread over the nodes by number."""
    return nodes[worker % len(nodes)]
