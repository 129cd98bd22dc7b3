"""Directory: a table that says for single keys who owns them, over a placement for all others.

Source      The lookup-table design of GFS, HDFS and many sharded SQL stores.
Complexity  O(1) for a key in the table, else as the placement below; a change of nodes O(keys in the table).
Bounds      The table is memory: one entry for each placed key.
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from quorate.kernel import BadPayload, Envelope, Key, errors
from quorate.placement.nodes import NodeLike, NodeName, TooFewNodes, UnknownNode
from quorate.placement.placement import Placement
from quorate.placement.plans import Cell, MovementPlan
from quorate.placement.ring import Ring


class Directory(Placement):
    """Explicit owners for some keys; a ring for the rest. A value: `place` and `forget` return new directories.

    Example:
        >>> directory = Directory(Ring(["a", "b", "c"])).place("whale", ["c", "a"])
        >>> directory.owners("whale", 2)
        ('c', 'a')
    """

    kind: ClassVar[str] = "directory"

    def __init__(self, default: Ring, entries: dict[bytes, tuple[NodeName, ...]] | None = None) -> None:
        super().__init__(default.nodes)
        self.default = default
        self._entries = dict(sorted((entries or {}).items()))

    def owners(self, key: Key, n: int = 1) -> tuple[NodeName, ...]:
        """Return the key's owners in the table, filled up from the placement below; see `Placement.owners`."""
        self._check_count(n)
        placed = self._entries.get(_entry_key(key), ())
        if len(placed) >= n:
            return placed[:n]
        others = self.default.owners(key, min(n + len(placed), len(self.nodes)))
        return (*placed, *(name for name in others if name not in placed))[:n]

    def place(self, key: Key, owners: Sequence[NodeName]) -> "Directory":
        """Return the directory in which a key has these owners, the first one first."""
        named = tuple(owners)
        strangers = [name for name in named if name not in self.names]
        if strangers:
            raise UnknownNode(f"nodes {strangers} are not there")
        if not named or len(dict.fromkeys(named)) != len(named):
            raise errors.UsageError("a placed key has owners, each named once")
        return Directory(self.default, {**self._entries, _entry_key(key): named})

    def forget(self, key: Key) -> "Directory":
        """Return the directory in which the placement below decides on a key again."""
        kept = {entry: owners for entry, owners in self._entries.items() if entry != _entry_key(key)}
        return Directory(self.default, kept)

    def __len__(self) -> int:
        """Return how many keys are in the table."""
        return len(self._entries)

    def with_nodes(
        self, added: Iterable[NodeLike] = (), removed: Iterable[NodeName] = (), *, n: int = 1
    ) -> tuple["Directory", MovementPlan]:
        """Return the directory after a change of nodes, and what moves.

        In the table only those that go are replaced, each by the node with the fewest entries. The plan counts one
        table entry as one share of its own, after the placement below: `default_plan` has the latter alone.
        """
        going = tuple(removed)
        default, plan = self.default.with_nodes(added, going, n=n)
        if n > len(default.nodes):
            raise TooFewNodes(f"{n} owners are asked for and there are {len(default.nodes)} nodes")
        load = dict.fromkeys(default.names, 0)
        for owners in self._entries.values():
            for name in owners:
                if name in load:
                    load[name] += 1
        entries = {}
        for key, owners in self._entries.items():
            kept = [name for name in owners if name in load]
            while len(kept) < min(len(owners), len(load)):
                # The first of the least loaded, in node order.
                best = min((name for name in default.names if name not in kept), key=load.__getitem__)
                load[best] += 1
                kept.append(best)
            entries[key] = tuple(kept)
        after = Directory(default, entries)
        cells = [Cell(key, key + b"\0", 1 / len(entries), self.owners(key, n), after.owners(key, n)) for key in entries]
        after.default_plan = plan
        return after, MovementPlan(cells, added=plan.added, removed=going, owner_count=n, is_exact=True)

    # What moves below the table at the change that made this directory; None if none did.
    default_plan: MovementPlan | None = None

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of the ring's own bytes and the table, keys ascending."""
        return _ENVELOPE.encode((self.default.to_bytes(), list(self._entries.items())))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Directory":
        """Return the directory in sealed bytes; raise `Undecodable` for anything else."""
        ring, rows = _ENVELOPE.decode(data)
        directory = cls(Ring.from_bytes(ring), dict(rows))
        names = dict.fromkeys(directory.names)
        if any(not owners or any(name not in names for name in owners) for _, owners in rows):
            raise BadPayload("a directory's owners are nodes of its ring")
        return directory

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return Directory.from_bytes, (self.to_bytes(),)


_ENVELOPE: Envelope[tuple[bytes, list[tuple[bytes, tuple[NodeName, ...]]]]] = Envelope(
    "directory", 1, tuple[bytes, list[tuple[bytes, tuple[NodeName, ...]]]]
)


def _entry_key(key: Any) -> bytes:
    """Return the bytes that stand for a key, so that equal keys are one entry."""
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode("utf-8", "surrogatepass")
    if isinstance(key, int) and not isinstance(key, bool) and -(1 << 63) <= key < 1 << 64:
        return (key % (1 << 64)).to_bytes(8, "little")
    raise errors.UsageError(f"a key is bytes, str or an integer of 64 bits, not {key!r:.80}")
