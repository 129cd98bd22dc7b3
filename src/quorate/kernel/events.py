"""What can happen to a machine. Local calls and peers' messages are different types, so no peer can forge a call."""

import msgspec

from quorate.kernel.ids import NodeId


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """The base of everything one node's machine says to another's. Fields may only ever be appended, with defaults."""


class Call(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The base of everything a host asks of its own machine."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """The base of everything a machine writes down for its own recovery."""


class Output(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The base of everything a machine hands to its own host."""


class Started(msgspec.Struct, frozen=True, gc=False):
    """The first event of every machine, on first boot and after every recovery alike."""


class Received(msgspec.Struct, frozen=True, gc=False):
    """A peer's message arrived. It may be late, repeated, reordered, or from a dead past."""

    sender: NodeId
    message: Message


class Called(msgspec.Struct, frozen=True, gc=False):
    """The host asks something; all calls of one turn of the loop come as one."""

    call: Call


class TimerFired(msgspec.Struct, frozen=True, gc=False):
    """A timer that this machine set has run out."""

    timer: str


class Persisted(msgspec.Struct, frozen=True, gc=False):
    """The first `count` `Persist` effects since the start are stable. Never moves back."""

    count: int


Event = Started | Received | Called | TimerFired | Persisted
