"""Clients that wait for an element: BLPOP and its family, over a log that knows no waiting.

A blocking command is tried as the command that does not block, through the log. When there was nothing, the client
waits until this node applies a change of one of its keys, and tries again. Of the clients that wait for one key only
the first tries; what it leaves is a change again, which wakes the next. So waiting costs the log nothing, and clients
of one node are served in the order in which they began to wait; between nodes there is no order.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from quorate.doors.resp.wire import DoorReply
from quorate.env import Clock, Timer
from quorate.kernel import Duration
from quorate.store import Backend, Change, Reply, ReplyError

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_UNBLOCKED: Final = ReplyError("UNBLOCKED", "client unblocked via CLIENT UNBLOCK")


class Waiter:
    """One blocking command of one client.

    Args:
        connection: that waits; it takes no other request meanwhile.
        db: where the keys are.
        keys: whose changes wake it.
        attempt: gives the non-blocking command to the backend and hands its answer to `Blocking.settle`.
        nothing: the answer when the time is over.
    """

    __slots__ = ("attempt", "connection", "db", "is_trying", "is_woken", "keys", "last_answer", "nothing", "timer")

    def __init__(
        self, connection: "Connection", db: int, keys: list[bytes], attempt: "Callable[[Waiter], None]", nothing: Reply
    ) -> None:
        self.connection = connection
        self.db = db
        self.keys = keys
        self.attempt = attempt
        self.nothing = nothing
        # Whether an attempt is under way, and whether something changed since it began.
        self.is_trying = False
        self.is_woken = False
        # Set when it must end with the attempt under way, with this answer if that brings nothing.
        self.last_answer: tuple[DoorReply] | None = None
        self.timer: Timer | None = None


class Blocking:
    """All waiting clients of this node."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._by_connection: dict[Connection, Waiter] = {}
        self._by_key: dict[tuple[int, bytes], dict[Waiter, None]] = {}

    @property
    def count(self) -> int:
        """How many clients wait."""
        return len(self._by_connection)

    def begin(self, waiter: Waiter, timeout: Duration) -> None:
        """Let a client wait, and make its first attempt.

        Args:
            waiter: one that is not waiting.
            timeout: 0: for ever.
        """
        # Changes are watched before the first attempt, so that none falls between.
        if not self._by_connection:
            self._backend.watch(self._on_change)
        self._by_connection[waiter.connection] = waiter
        for key in waiter.keys:
            self._by_key.setdefault((waiter.db, key), {})[waiter] = None
        if timeout > 0:
            waiter.timer = self._clock.call_after(timeout, lambda: self._give_up(waiter, waiter.nothing))
        waiter.connection.set_waiting(is_waiting=True)
        self._try(waiter)

    def release(self, connection: "Connection", *, is_error: bool) -> bool:
        """End the waiting of a client, for CLIENT UNBLOCK; return whether it waited."""
        waiter = self._by_connection.get(connection)
        if waiter is None:
            return False
        self._give_up(waiter, _UNBLOCKED if is_error else waiter.nothing)
        return True

    def leave(self, connection: "Connection") -> None:
        """Forget a client that is gone; what its attempt under way takes is lost with it, as in Redis."""
        waiter = self._by_connection.get(connection)
        if waiter is not None:
            self._remove(waiter)

    def settle(self, waiter: Waiter, answer: DoorReply, *, is_empty: bool) -> DoorReply | None:
        """Take the answer of an attempt; return it when the command ends with it, None when it goes on waiting.

        Args:
            waiter: whose attempt it was.
            answer: what to tell the client.
            is_empty: whether there was nothing to take.
        """
        waiter.is_trying = False
        if not is_empty:
            self._remove(waiter)
            return answer
        if waiter.last_answer is not None:
            self._remove(waiter)
            return waiter.last_answer[0]
        return None

    def try_again(self, waiter: Waiter) -> None:
        """Make another attempt if something changed since the last one began and none is under way."""
        if waiter.is_woken and not waiter.is_trying and waiter.connection in self._by_connection:
            self._try(waiter)

    def _try(self, waiter: Waiter) -> None:
        waiter.is_trying = True
        waiter.is_woken = False
        waiter.attempt(waiter)

    def _give_up(self, waiter: Waiter, answer: DoorReply) -> None:
        if waiter.is_trying:
            waiter.last_answer = (answer,)
            return
        self._remove(waiter)
        waiter.connection.reply(answer)
        waiter.connection.resume()

    def _remove(self, waiter: Waiter) -> None:
        self._by_connection.pop(waiter.connection, None)
        for key in waiter.keys:
            waiters = self._by_key.get((waiter.db, key))
            if waiters is not None:
                waiters.pop(waiter, None)
                if not waiters:
                    del self._by_key[waiter.db, key]
        if waiter.timer is not None:
            waiter.timer.cancel()
        if not self._by_connection:
            self._backend.unwatch(self._on_change)
        waiter.connection.set_waiting(is_waiting=False)

    def _on_change(self, change: Change) -> None:
        """Wake the first that waits for a key. Called within `apply`, so the attempt is made later."""
        waiters = self._by_key.get((change.db, change.key))
        if waiters and change.kind == "put":
            for waiter in waiters:
                waiter.is_woken = True
                if not waiter.is_trying:
                    waiter.connection.server.wake_soon(waiter)
                    return
