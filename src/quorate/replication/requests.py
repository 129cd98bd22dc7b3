"""What a group is told and remembers: its callers, its bounds, and the requests that wait in it."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from quorate.kernel import Duration, Instant, LogIndex, milliseconds, seconds

# time in ms stamped by the leader · origin (one boot of one node) · that origin's token
STAMP: Final = struct.Struct(">QQQ")
# group · term of the leader it is meant for · origin · token, before a forwarded batch
FORWARD: Final = struct.Struct(">IQQQ")
# group · token · why it was not proposed
FORWARD_RESULT: Final = struct.Struct(">IQQ")


class Caller(Protocol):
    """Who waits for replies: one door connection."""

    def complete(self, reply: Any) -> None:
        """Take the reply to the oldest outstanding request of its kind."""

    def flush(self) -> None:
        """Write what was completed; called once per turn."""


class StateMachine(Protocol):
    """The user's deterministic object, as a group sees it. `apply` is total: a bad command is an error reply."""

    applied_index: LogIndex
    # The time of the newest applied batch, ms since 1970.
    time_ms: int

    def apply(self, index: LogIndex, time_ms: int, commands: Sequence[Any]) -> list[Any]:
        """Apply one entry; return one reply per command."""

    def query(self, command: Any, wall_ms: int) -> Any:
        """Answer a read-only command; None of its answers changes state."""

    def next_expiry_ms(self) -> int | None:
        """Return when the next key is due, or None."""


@dataclass(frozen=True, kw_only=True)
class GroupConfig:
    """Bounds of one group on one node."""

    # A request without an answer ends after this: definite if it was never proposed, else indefinite.
    request_timeout: Duration = seconds(5)
    # Requests accepted and unanswered; more are refused as overloaded.
    pending_count_max: int = 200_000
    # A batch above this is split; smaller than the append limit, so that an entry fits a message.
    batch_bytes_max: int = 1 << 20
    # Batches proposed and not applied; while so many are out, commands gather into a larger next batch.
    inflight_batch_max: int = 2
    # Turns of the loop that a batch may wait while every one of them brings more requests (a turn is some 20 µs).
    gather_turn_max: int = 32
    # How often deadlines, due keys and unanswered reads are looked at.
    tick_interval: Duration = milliseconds(50)
    # A read barrier without an answer is asked again after this.
    read_retry_after: Duration = milliseconds(300)


@dataclass(slots=True)
class Waiting:
    """A batch of this node's clients that has been proposed or forwarded."""

    commands: list[Any]
    callers: list[Caller]
    deadline: Instant
    # The leadership under which it was proposed, and its term.
    epoch: int
    term: int
    # Code and sentence, once it is known that it did not happen; said when all batches before it have ended.
    failure: tuple[str, str] | None = None


@dataclass(slots=True)
class ReadBatch:
    """The reads of one turn, in order."""

    commands: list[Any]
    callers: list[Caller]
    deadline: Instant
    token: int = 0
    asked_at: Instant = Instant(0)
    # The barrier, once confirmed.
    index: int | None = None
    # True after the log's time was advanced for a key that was due: then log time alone decides.
    is_ticked: bool = False
    served_count: int = 0


@dataclass(kw_only=True)
class Vocabulary:
    """What a group must know of its commands without importing the store."""

    # Encodes and decodes a whole batch: a value with `.commands`.
    encode: Callable[[list[Any]], bytes]
    decode: Callable[[bytes | memoryview], list[Any]]
    error: Callable[[str, str], Any]
    # Returned by `query` for a key that is due by the wall clock but not by log time.
    needs_log: object
    tick: Callable[[], Any]


class Ticker:
    """Receives the reply of a TICK that the group proposed itself."""

    def __init__(self, done: Callable[[], None], flush: Callable[[], None]) -> None:
        self._done = done
        self._flush = flush

    def complete(self, _reply: Any) -> None:
        """Learn that time has advanced, or could not."""
        self._done()

    def flush(self) -> None:
        """Go on with what waited for it."""
        self._flush()


class Lane:
    """Answers requests of one kind in the order in which they came; a caller tells answers apart by nothing else.

    A request that is refused at once is answered at once, unless its caller waits for earlier ones: then behind them.

    Args:
        pending: lists the callers of all requests that were accepted and not answered, in order.
    """

    def __init__(self, pending: Callable[[], Iterator[Caller]]) -> None:
        self.accepted_count = 0
        self.answered_count = 0
        self._pending = pending
        # After which answer → the refusals that follow it.
        self._refused: dict[int, list[tuple[Caller, Any]]] = {}
        # Caller → the last of its requests, as of so many accepted.
        self._last: dict[Caller, int] = {}
        self._last_count = -1

    def refuse(self, caller: Caller, reply: Any) -> bool:
        """Answer a request that was not accepted; return whether it was done now.

        Complexity: O(1), and O(pending) for the first refusal after a request that was accepted.
        """
        if self._last_count != self.accepted_count:
            self._last = {one: place for place, one in enumerate(self._pending(), self.answered_count + 1)}
            self._last_count = self.accepted_count
        last = self._last.get(caller, 0)
        if last <= self.answered_count:
            caller.complete(reply)
            return True
        self._refused.setdefault(last, []).append((caller, reply))
        return False

    def forget(self) -> None:
        """Let go of callers that may be gone."""
        self._last, self._last_count = {}, -1

    def answer(self, callers: list[Caller], replies: list[Any]) -> list[Caller]:
        """Answer the oldest accepted requests; return whom to flush. Complexity: O(callers)."""
        if not self._refused:
            self.answered_count += len(callers)
            for caller, reply in zip(callers, replies, strict=True):
                caller.complete(reply)
            return callers
        heard: list[Caller] = []
        for caller, reply in zip(callers, replies, strict=True):
            caller.complete(reply)
            heard.append(caller)
            self.answered_count += 1
            for other, refusal in self._refused.pop(self.answered_count, ()):
                other.complete(refusal)
                heard.append(other)
        return heard


@dataclass(kw_only=True)
class Counters:
    """What a group did since its start."""

    write_count: int = 0
    read_count: int = 0
    batch_count: int = 0
    lost_count: int = 0
    timed_out_count: int = 0
    overloaded_count: int = 0
    role_changes: list[tuple[int, str, int]] = field(default_factory=list)


class Gathering:
    """Decides whether a batch waits for more requests.

    Clients that were answered together ask again together, a few in each turn of the loop; without this the first few
    would go alone and the rest wait for them. A lone request, or a turn without a new one, is proposed at once.

    Args:
        turn_max: turns that a batch may wait.
    """

    def __init__(self, *, turn_max: int) -> None:
        self._turn_max = turn_max
        # Requests seen at the last turn, turns so far, and requests of the last batch.
        self._seen_count = 0
        self._turn_count = 0
        self._last_batch_count = 0

    def waits(self, count: int) -> bool:
        """Return whether so many requests should wait for another turn. Complexity: O(1)."""
        is_lone = count == 1 and self._last_batch_count <= 1
        if is_lone or count <= self._seen_count or self._turn_count >= self._turn_max:
            self._seen_count = self._turn_count = 0
            return False
        self._seen_count = count
        self._turn_count += 1
        return True

    def took(self, count: int) -> None:
        """Learn how many requests the batch took."""
        self._last_batch_count = count
