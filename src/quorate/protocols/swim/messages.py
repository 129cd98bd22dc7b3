"""What members say to each other. Late, repeated, reordered or lost, all of it; a reader trusts no number in it."""

from typing import Annotated, Final

import msgspec

from quorate.kernel import Codec, Message
from quorate.protocols.swim.members import Member, Node

Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Rumours = tuple[Member, ...]


class Ping(Message, frozen=True, array_like=True, gc=False, tag=True):
    """Are you there? Answered by `Ack`."""

    sequence: Sequence
    rumours: Rumours = ()


class Ack(Message, frozen=True, array_like=True, gc=False, tag=True):
    """An answer to `Ping`; from a helper, that the target of a `PingRequest` answered."""

    sequence: Sequence
    rumours: Rumours = ()


class PingRequest(Message, frozen=True, array_like=True, gc=False, tag=True):
    """Ping somebody for me: my own way to it may be broken."""

    sequence: Sequence
    target: Node
    rumours: Rumours = ()


class Nack(Message, frozen=True, array_like=True, gc=False, tag=True):
    """A helper is there and heard nothing of the target: so the asker's own network works (Lifeguard)."""

    sequence: Sequence


class Gossip(Message, frozen=True, array_like=True, gc=False, tag=True):
    """Rumours alone, between the pings."""

    rumours: Rumours


class SyncRequest(Message, frozen=True, array_like=True, gc=False, tag=True):
    """Do we know the same? Begins a push-pull; answered by `SyncState` when the digests differ, or on joining."""

    digest: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    # What the asker says of itself.
    own: Member
    is_joining: bool = False


class SyncState(Message, frozen=True, array_like=True, gc=False, tag=True):
    """The sender's whole table, or in answer to one, what the other lacks. Large: the host sends it on a stream."""

    members: Rumours
    wants_answer: bool


SwimMessage = Ping | Ack | PingRequest | Nack | Gossip | SyncRequest | SyncState
MESSAGES: Final[Codec[SwimMessage]] = Codec(SwimMessage)
