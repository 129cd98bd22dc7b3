"""A few machines, a network and disks at one moment; what may happen to them, and how often."""

from collections.abc import Hashable
from typing import Literal

import msgspec

from quorate.kernel import Call, Machine, Message, NodeId, Record

ChoiceKind = Literal["deliver", "lose", "repeat", "fire", "call", "persist", "crash", "restart"]


class Choice(msgspec.Struct, frozen=True):
    """One thing that may happen at one node."""

    kind: ChoiceKind
    node: NodeId
    # deliver, lose, repeat: who sent what.
    sender: NodeId | None = None
    message: Message | None = None
    # fire: which timer.
    timer: str = ""
    # call: its place in the scope; crash: how many unfinished writes survive.
    number: int = 0


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """How much may happen. Every bound makes the system finite and the result hold for that scope only."""

    nodes: tuple[NodeId, ...]
    # Each may be made once, at any time, in any order.
    calls: tuple[tuple[NodeId, Call], ...] = ()
    # How often a timer may fire at each node, by name; a name that ends with "/" stands for all that begin with it,
    # and they share the count. A timer that is not named never fires.
    timers: tuple[tuple[str, int], ...] = ()
    # Nodes whose timers never fire.
    quiet: tuple[NodeId, ...] = ()
    # In all.
    lose_count: int = 0
    repeat_count: int = 0
    crash_count: int = 0
    # Messages of one link arrive in the order in which they were sent.
    is_fifo: bool = False
    # False: a timer that runs may fire at any moment, and its machine sees a clock far beyond every deadline. True: the
    # timers of a node fire in the order of their deadlines, each at its moment.
    is_punctual: bool = False
    # True: writes are stable at once. False: when is a choice, and a crash loses those that are not.
    is_disk_instant: bool = True

    def place_of(self, timer: str) -> int | None:
        """Return which entry of `timers` a running timer counts on; None: it never fires."""
        for place, (name, _) in enumerate(self.timers):
            if timer == name or (name.endswith("/") and timer.startswith(name)):
                return place
        return None


class Node(msgspec.Struct, frozen=True, gc=False):
    """One node at one moment. Nothing in it is ever changed: a step works on a copy."""

    # None while it is down.
    machine: Machine | None
    # The machine and its outbox, to be copied from.
    blob: bytes
    # Stable records, and those of each unfinished write.
    records: tuple[Record, ...]
    writes: tuple[tuple[Record, ...], ...]
    # Running timers, sorted, and when each is due by the node's own clock.
    timers: tuple[str, ...]
    dues: tuple[int, ...]
    # How often each timer of the scope may still fire.
    timers_left: tuple[int, ...]
    # What `observe` kept of its outputs, this life and earlier ones.
    seen: tuple[Hashable, ...]
    # Digest of all of the above; and one for each renaming of the nodes, this one first, where there are any.
    key: bytes
    keys: tuple[bytes, ...] = ()


class ClusterState(msgspec.Struct, frozen=True, gc=False):
    """All nodes, and the messages on their way."""

    nodes: tuple[Node, ...]
    # (receiver, sender, canonical bytes, message); sorted, unless links keep their order.
    network: tuple[tuple[NodeId, NodeId, bytes, Message], ...]
    calls_left: tuple[int, ...]
    lose_left: int
    repeat_left: int
    crash_left: int

    def machines(self) -> list[Machine]:
        """Return the machines that are up, in the order of their nodes; to look at, never to change."""
        return [node.machine for node in self.nodes if node.machine is not None]
