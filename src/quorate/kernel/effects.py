"""What a machine asks of the world: a flat, ordered list.

The contract is the order. A `Send` or `Deliver` behind a `Persist`, of the same step or an earlier one, leaves only
when that write is stable, unless it is eager (and then a comment says why it may overtake). Timers act at once.
"""

import msgspec

from quorate.kernel.events import Message, Output, Record
from quorate.kernel.ids import NodeId
from quorate.kernel.time import Duration


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a message to a peer, at most once, best effort."""

    to: NodeId
    message: Message
    # True only where the message promises nothing about writes still in flight.
    eager: bool = False


class Persist(msgspec.Struct, frozen=True, gc=False):
    """Write records to stable storage, after all earlier ones; answered by `Persisted`."""

    records: tuple[Record, ...]


class SetTimer(msgspec.Struct, frozen=True, gc=False):
    """Fire `TimerFired(timer)` once after a span; setting a running timer again replaces it."""

    timer: str
    after: Duration


class CancelTimer(msgspec.Struct, frozen=True, gc=False):
    """Stop a timer; a timer that is not running is left alone."""

    timer: str


class Deliver(msgspec.Struct, frozen=True, gc=False):
    """Hand something to the local host."""

    output: Output
    # True only where the output promises nothing about writes still in flight.
    eager: bool = False


Effect = Send | Persist | SetTimer | CancelTimer | Deliver
