"""One queue for the whole world: what happens next, at which nanosecond, on which host.

Source: discrete-event simulation with a binary heap; ties are broken by order of arrival, never by address.
"""

import asyncio
import gc
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final

from quorate.sim.failures import Livelock, ProgramFailed

OPEN: Final = 0
STALLED: Final = 1
DEAD: Final = 2

# Garbage is collected every 16,384 steps, thoroughly every 1,048,576.
COLLECT_MASK: Final = (1 << 14) - 1
COLLECT_FULL_MASK: Final = (1 << 20) - 1


class Gate:
    """Whether callbacks of one incarnation run now (open), queue in order (stalled) or vanish (dead)."""

    __slots__ = ("backlog", "loop", "number", "state")

    def __init__(self, number: int) -> None:
        self.state = OPEN
        # The host's number in the trace hash; 0 is the world itself.
        self.number = number
        # The event loop to enter before a callback runs; None at core level.
        self.loop: asyncio.AbstractEventLoop | None = None
        self.backlog: list[Happening | SimHandle] = []


class Happening:
    """One callback of the world or of a core-level host: cheaper than an asyncio handle."""

    __slots__ = ("_args", "_callback", "gate", "is_cancelled")

    def __init__(self, gate: Gate, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.gate = gate
        self.is_cancelled = False
        self._callback: Callable[..., object] | None = callback
        self._args = args

    def cancel(self) -> None:
        """Do not run it; harmless when it already ran."""
        self.is_cancelled = True
        self._callback = None
        self._args = ()

    def run(self) -> None:
        """Call back."""
        if self._callback is not None:
            self._callback(*self._args)


class SimHandle(asyncio.TimerHandle):
    """What `call_soon` and `call_at` return: an asyncio handle whose time is an integer."""

    __slots__ = ("gate", "when_ns")

    gate: Gate
    # By the host's own monotonic clock; -1 for "as soon as possible".
    when_ns: int
    _callback: Callable[..., object] | None
    _args: Any
    _context: Context
    _cancelled: bool

    def __init__(
        self, gate: Gate, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None, when_ns: int
    ) -> None:
        # The constructor of the base would look up debug mode and stack frames: this one is on the hottest path.
        self.gate = gate
        self.when_ns = when_ns
        self._loop = gate.loop
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._source_traceback = None
        self._repr = None
        self._scheduled = when_ns >= 0

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def when(self) -> float:
        """Return the time in seconds by the host's monotonic clock."""
        return self.when_ns / 1e9

    def __hash__(self) -> int:
        return hash(self.when_ns)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<SimHandle {getattr(self._callback, '__qualname__', self._callback)}>"

    def cancel(self) -> None:
        """Do not run it; harmless when it already ran."""
        self._cancelled = True
        self._callback = None
        self._args = None

    def run(self) -> None:
        """Call back in its context."""
        if self._callback is not None and self._args is not None:
            self._context.run(self._callback, *self._args)


class Scheduler:
    """Runs everything in order of time; first in, first out among equals.

    Args:
        livelock_limit: callbacks that may run without time passing.
    """

    def __init__(self, *, livelock_limit: int = 1_000_000) -> None:
        # True time of the world, in nanoseconds since its beginning.
        self.now = 0
        # Rolling hash of (time, host, length of the queue) of every callback: equal for equal runs.
        self.trace_hash = 0
        self.step_count = 0
        self.livelock_limit = livelock_limit
        self.ready: deque[Happening | SimHandle] = deque()
        self.world_gate = Gate(0)
        self.errors: list[BaseException] = []
        # Called after every step, for invariants; None costs nothing.
        self.after_step: Callable[[], None] | None = None
        # Called with the callback before every step, for audits; None costs nothing.
        self.before_step: Callable[[Happening | SimHandle], None] | None = None
        self._heap: list[tuple[int, int, Happening | SimHandle]] = []
        self._sequence = 0
        self._births = 0
        self._is_stopping = False
        self._sweep_at = 4_096

    # -- asking ---------------------------------------------------------------------------------------------------

    def birth(self) -> int:
        """Return the next serial number, for objects that need an order of their own."""
        self._births += 1
        return self._births

    def at(self, when: int, gate: Gate, callback: Callable[..., object], *args: Any) -> Happening:
        """Call back at a true time, not before now. Complexity: O(log n)."""
        # The body of `push` again: this is the hottest call of the core level.
        happening = Happening(gate, callback, args)
        self._sequence += 1
        heapq.heappush(self._heap, (when if when > self.now else self.now, self._sequence, happening))  # noqa: FURB136
        if len(self._heap) > self._sweep_at:
            self._sweep()
        return happening

    def push(self, when: int, handle: Happening | SimHandle) -> None:
        """Queue a handle for a true time. Complexity: O(log n)."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(when, self.now), self._sequence, handle))
        if len(self._heap) > self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Forget cancelled handles, so that timers that are reset for ever do not pile up."""
        self._heap = [item for item in self._heap if not item[2].is_cancelled]
        heapq.heapify(self._heap)
        self._sweep_at = max(4_096, 2 * len(self._heap))

    def retime(self, gate: Gate, true_time_of: Callable[[int], int]) -> None:
        """Place a host's timers anew after its clock changed its rate. Complexity: O(n)."""
        self._heap = [
            (max(self.now, true_time_of(handle.when_ns)), sequence, handle)
            if isinstance(handle, SimHandle) and handle.gate is gate
            else (when, sequence, handle)
            for when, sequence, handle in self._heap
        ]
        heapq.heapify(self._heap)

    def stop(self) -> None:
        """Let `run` return after the current callback."""
        self._is_stopping = True

    # -- gates ----------------------------------------------------------------------------------------------------

    def release(self, gate: Gate) -> None:
        """Open a stalled gate; what queued behind it runs next, in order."""
        if gate.state != STALLED:
            return
        gate.state = OPEN
        self.ready.extend(gate.backlog)
        gate.backlog.clear()

    def kill(self, gate: Gate) -> None:
        """Close a gate for ever: nothing behind it runs again."""
        gate.state = DEAD
        gate.backlog.clear()

    # -- running --------------------------------------------------------------------------------------------------

    def next_time(self) -> int | None:
        """Return when something happens next, or None when nothing ever will."""
        if self.ready:
            return self.now
        while self._heap and (self._heap[0][2].is_cancelled or self._heap[0][2].gate.state == DEAD):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run(self, deadline: int | None = None) -> bool:
        """Run until `stop`, until nothing is left, or until a true time.

        Returns:
            True when stopped; False when nothing is left before the deadline (time is then the deadline).

        Raises:
            ProgramFailed: a callback raised, or reported an error to its loop's handler.
            Livelock: time does not pass any more.
        """
        self._is_stopping = False
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        is_collecting = gc.isenabled()
        gc.disable()
        try:
            return self._run(deadline)
        finally:
            if is_collecting:
                gc.enable()
            asyncio._set_running_loop(outer)

    def _run(self, deadline: int | None) -> bool:  # one long loop, because a call per event costs a fifth of the speed
        ready = self.ready
        current: asyncio.AbstractEventLoop | None = None
        spin_count = 0
        while not self._is_stopping:
            if ready:
                handle = ready.popleft()
            else:
                heap = self._heap
                if not heap or (deadline is not None and heap[0][0] > deadline):
                    if deadline is not None:
                        self.now = max(self.now, deadline)
                    return False
                when, _, handle = heapq.heappop(heap)
                if when > self.now:
                    self.now = when
                    spin_count = 0
            if handle.is_cancelled:
                continue
            gate = handle.gate
            if gate.state:
                if gate.state == STALLED:
                    gate.backlog.append(handle)
                continue
            if gate.loop is not current:
                current = gate.loop
                asyncio._set_running_loop(current)
            self.trace_hash = hash((self.trace_hash, self.now, gate.number, len(ready)))
            self.step_count += 1
            if not self.step_count & COLLECT_MASK:
                # By count of steps, so that finalizers run at the same step in every run.
                gc.collect(2 if not self.step_count & COLLECT_FULL_MASK else 1)
            spin_count += 1
            if self.before_step is not None:
                self.before_step(handle)
            try:
                handle.run()
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001  whatever a program raises fails the run, not the loop
                self.errors.append(error)
            if self.after_step is not None:
                self.after_step()
            if self.errors:
                self.raise_errors()
            if spin_count > self.livelock_limit:
                raise Livelock(f"{spin_count} callbacks ran at {self.now} ns; the last was {handle!r}")
        return True

    def raise_errors(self) -> None:
        """Fail the run with what was reported, if anything was."""
        if self.errors:
            errors, self.errors = self.errors, []
            raise ProgramFailed(f"at {self.now} ns: {type(errors[0]).__name__}: {errors[0]}") from errors[0]
