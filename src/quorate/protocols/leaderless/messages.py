"""What leaderless nodes say to each other: bundles of parts, one bundle per peer and step."""

from typing import Final, TypeAlias

import msgspec

from quorate.kernel import Codec, Message, NodeId
from quorate.protocols.leaderless.changes import AnyChange
from quorate.protocols.leaderless.topology import Topology


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """The base of all that stands in a bundle."""


class Write(Part, frozen=True, array_like=True, gc=False, tag=True):
    """Merge a cell into your copy; say `Written` when it is on your disk (number 0: say nothing)."""

    number: int
    key: bytes
    cell: bytes


class Keep(Part, frozen=True, array_like=True, gc=False, tag=True):
    """Keep a cell for an owner that cannot be reached, and hand it over later; say `Written` when it is on your disk.

    Source: Dynamo section 4.6: the intended recipient stands in the metadata of the replica.
    """

    number: int
    owner: NodeId
    key: bytes
    cell: bytes
    # Wall clock of the write, for the hint window.
    wall_ns: int


class HandOver(Part, frozen=True, array_like=True, gc=False, tag=True):
    """A hint that was kept for you; say `Written` when it is on your disk, or too old to be wanted."""

    number: int
    key: bytes
    cell: bytes
    # Wall clock of the oldest write in it: the receiver looks at the age too, because its sender may have slept.
    wall_ns: int


class Written(Part, frozen=True, array_like=True, gc=False, tag=True):
    """These are on this node's disk."""

    numbers: tuple[int, ...]


class Ask(Part, frozen=True, array_like=True, gc=False, tag=True):
    """Say what you hold of a key, or only its digest."""

    number: int
    key: bytes
    is_digest: bool


class Told(Part, frozen=True, array_like=True, gc=False, tag=True):
    """The cell that was asked for, and stable; empty for nothing."""

    number: int
    cell: bytes


class ToldDigest(Part, frozen=True, array_like=True, gc=False, tag=True):
    """The digest of the cell that was asked for."""

    number: int
    digest: int


class Forward(Part, frozen=True, array_like=True, gc=False, tag=True):
    """Coordinate a change for me: you hold the key. The same number is never applied twice in one life of a node."""

    number: int
    # The receiver's life as the sender knows it; 0 for unknown. Another life refuses: it has forgotten what it applied.
    life: int
    key: bytes
    change: AnyChange
    level: str
    context: bytes
    # How long the sender will still wait.
    timeout_ns: int


class Forwarded(Part, frozen=True, array_like=True, gc=False, tag=True):
    """How a forwarded change ended."""

    number: int
    cell: bytes = b""
    # Empty: it is done. `WRONGLIFE`: see `Forward.life`; nothing was done by this message.
    code: str = ""
    sentence: str = ""
    is_maybe: bool = False


class Exchange(Part, frozen=True, array_like=True, gc=False, tag=True):
    """Cells of keys in which two replicas differ. The receiver merges; where it held more, it sends its own back."""

    cells: tuple[tuple[bytes, bytes], ...]
    is_answer: bool


class Purged(Part, frozen=True, array_like=True, gc=False, tag=True):
    """Tombstones (key, digest) that came in an exchange and have been purged here, because all owners had them."""

    tombstones: tuple[tuple[bytes, int], ...]


class Plan(Part, frozen=True, array_like=True, gc=False, tag=True):
    """The topologies that the sender works with: sent to whoever seems to know less."""

    topology: Topology
    next_topology: Topology | None


class Stage(Part, frozen=True, array_like=True, gc=False, tag=True):
    """How far the sender has come with a topology."""

    # `topology.name_of`: two plans of one version are two plans.
    plan: int
    # Whether all that it gains is on its disk; a sender that has settled has.
    is_gathered: bool
    is_settled: bool


class Fetch(Part, frozen=True, array_like=True, gc=False, tag=True):
    """Send cells of keys with hashes from `start` to `last`, both included, at most about so many."""

    number: int
    start: int
    last: int
    cell_count: int


class Fetched(Part, frozen=True, array_like=True, gc=False, tag=True):
    """All cells with hashes from the start that was asked for to `through`, both included."""

    number: int
    through: int
    cells: tuple[tuple[bytes, bytes], ...]


AnyPart: TypeAlias = (
    Write
    | Keep
    | HandOver
    | Written
    | Ask
    | Told
    | ToldDigest
    | Forward
    | Forwarded
    | Exchange
    | Purged
    | Plan
    | Stage
    | Fetch
    | Fetched
)


class Bundle(Message, frozen=True, array_like=True, gc=False, tag=True):
    """All that a node says to a peer in one step."""

    # Which topology the sender works with, see `state.phase_of`.
    phase: int
    # Drawn when the sender started; another number means that it has started again.
    life: int
    parts: tuple[AnyPart, ...]
    # Names of the topologies that the sender works with, the older first, see `topology.name_of`. None: not said, then
    # the phase alone is looked at.
    plans: tuple[int, int] | None = None


LeaderlessMessage = Bundle
MESSAGES: Final[Codec[Bundle]] = Codec(Bundle)
