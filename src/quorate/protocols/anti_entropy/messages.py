"""What two nodes say to each other: one question, one answer; both may be late, repeated or lost."""

from typing import Annotated, Final

import msgspec

from quorate.kernel import Codec, Message
from quorate.protocols.anti_entropy.intervals import Hash

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Key = bytes

# What a listing's answer is: all that differs; nothing, because it is more than may be named at one place: cut the run;
# nothing, because the message was full: ask again.
WHOLE: Final = 0
CUT: Final = 1
AGAIN: Final = 2


class Sums(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Digests over a run of hashes: one of the whole, or one of each of its pieces (`pieces`), 8 bytes each."""

    start: Hash
    last: Hash
    digests: bytes


class Listing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The digests of all keys of the sender in a run of hashes, 8 bytes each, ascending."""

    start: Hash
    last: Hash
    digests: bytes


class Names(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What differs from a `Listing`: keys of the answerer with other digests, and digests that it has not."""

    named: tuple[tuple[Key, Hash], ...]
    lacking: bytes
    # WHOLE, CUT or AGAIN.
    state: Annotated[int, msgspec.Meta(ge=0, le=2)] = WHOLE


class Ask(Message, frozen=True, array_like=True, gc=False, tag=True):
    """Compare this with yours. Whoever asks keeps the state; whoever answers keeps none."""

    # Of the topology; an answerer with another one declines.
    version: Number
    # Drawn for every exchange, so that an answer to another life's question matches nothing.
    exchange: Number
    step: Number
    sums: tuple[Sums, ...]
    listings: tuple[Listing, ...] = ()


class Answer(Message, frozen=True, array_like=True, gc=False, tag=True):
    """What differs: for each `Sums` the places of the pieces as bits, for each `Listing` the names."""

    exchange: Number
    step: Number
    differing: tuple[Number, ...]
    names: tuple[Names, ...] = ()


class Decline(Message, frozen=True, array_like=True, gc=False, tag=True):
    """I cannot compare: my topology has another version, or the question makes no sense here."""

    exchange: Number
    version: Number


AntiEntropyMessage = Ask | Answer | Decline
MESSAGES: Final[Codec[AntiEntropyMessage]] = Codec(AntiEntropyMessage)
