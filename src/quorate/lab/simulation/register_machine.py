"""A tiny state machine for runs at core level: numbers by key, each change as one entry."""

from typing import Literal

import msgspec

from quorate.kernel import LogIndex

Reply = int | bool | None
"""What a client is answered: a sum, whether a condition held, or nothing."""

Operation = Literal["write", "cas", "increment"]


class Change(msgspec.Struct, frozen=True, array_like=True):
    """The payload of one entry."""

    # Where the client waits, and its number there.
    origin: int
    number: int
    f: Operation
    key: str
    value: int
    # Of a compare-and-set.
    expected: int = 0


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Change)


def encode(change: Change) -> bytes:
    """Return the payload of a change."""
    return _ENCODER.encode(change)


def decode(payload: bytes) -> Change:
    """Return the change of a payload."""
    return _DECODER.decode(payload)


class Registers(msgspec.Struct):
    """Numbers by key. The state at rest is a copy of it."""

    applied_index: LogIndex = LogIndex(0)
    applied_term: int = 0
    values: dict[str, int] = msgspec.field(default_factory=dict)

    def apply(self, index: LogIndex, term: int, change: Change | None) -> Reply:
        """Apply one entry; return what its client is answered."""
        assert index == self.applied_index + 1, "entries are applied one after another"
        self.applied_index, self.applied_term = index, term
        if change is None:
            return None
        values = self.values
        match change.f:
            case "write":
                values[change.key] = change.value
                return None
            case "cas":
                if values.get(change.key) != change.expected:
                    return False
                values[change.key] = change.value
                return True
            case "increment":
                values[change.key] = values.get(change.key, 0) + change.value
                return values[change.key]

    def copy(self) -> "Registers":
        """Return an equal one that shares nothing."""
        return Registers(self.applied_index, self.applied_term, dict(self.values))
