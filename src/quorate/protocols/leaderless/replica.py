"""The part of a replica: merge what arrives, write it down, and only then say so; answer what is held."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Final

from quorate.kernel import NodeId, marks
from quorate.protocols.leaderless.messages import Ask, Exchange, HandOver, Purged, Told, ToldDigest, Write
from quorate.protocols.leaderless.tombstones import Tombstones

MESSAGE_BYTES: Final = 1 << 18
"""About the most that one exchange of cells carries."""


class Replica(Tombstones):
    """Serves the copies of this node."""

    def _take(self, key: bytes, cell: bytes) -> None:
        """Merge a peer's cell into this node's copy, which it is an owner of, or will be.

        Raises:
            Malformed: it is no cell of the rule.
        """
        mine = self.cells.get(key, b"")
        merged = self.rule.merge(mine, cell)
        if merged == mine:
            return
        if not mine and self._is_spent(key, merged):
            # Another replica will purge it too. Taken again, it would go back and forth for as long as clocks differ.
            marks.hit("leaderless: a tombstone that was purged here is not taken again")
            return
        self._hold(key, merged)

    def holds(self, key: bytes) -> bool:
        """Return whether this node is an owner of a key, in any topology that it works with."""
        return self.node in self._route(key).nodes

    @property
    def _is_sender_old(self) -> bool:
        """Whether what is being handled comes from the topology that this node is leaving."""
        return self._sender_phase < self.phase and self.next_topology is not None

    def _on_write(self, sender: NodeId, part: Write | HandOver) -> None:
        if not self._is_sized(part.key, part.cell):
            self._refuse("a cell beyond the limits is refused")
            return
        if self._is_sender_old:
            # Its range may already have been read from here by a new owner, which the sender does not know of.
            marks.hit("leaderless: a joint node takes no writes of the old topology")
            return
        if self.holds(part.key) or self._sender_phase > self.phase:
            self._take(part.key, part.cell)
        elif self._sender_phase < self.phase:
            # The sender still counts this node among the old owners; it waits for the new ones too, and they suffice.
            marks.hit("leaderless: a cell that moved away is not taken")
        else:
            marks.hit("leaderless: a cell for another owner is not taken")
            self._tell_plan(sender)
            return
        if part.number:
            # What changes nothing needs no write, but an earlier write of the key must be stable before it is said.
            self._say_written(sender, part.number, eager=part.key not in self.unstable)

    def _on_ask(self, sender: NodeId, part: Ask) -> None:
        cell = self._view(part.key)
        told = ToldDigest(part.number, self._digest(cell)) if part.is_digest else Told(part.number, cell)
        # What has been read by somebody must not be lost by a crash: it waits for its write.
        self._send(sender, told, eager=part.key not in self.unstable)

    @abstractmethod
    def _tell_plan(self, peer: NodeId) -> None:
        """Tell a peer the topologies that this node works with."""

    def _view(self, key: bytes) -> bytes:
        """Return what this node knows of a key; a stand-in, and whoever coordinates, also by hints."""
        cell = self.cells.get(key, b"")
        if self.config.sloppy:
            for kept in self.hints.values():
                hint = kept.get(key)
                if hint is not None:
                    cell = self.rule.merge(cell, hint.cell)
        return cell

    # Anti-entropy found differences.

    def _on_exchange(self, sender: NodeId, part: Exchange) -> None:
        back = []
        purged = []
        for key, cell in part.cells:
            if cell and not self._is_sized(key, cell):
                self._refuse("a cell beyond the limits is refused")
                continue
            if cell and self.holds(key):
                self._take(key, cell)
            mine = self.cells.get(key, b"")
            if mine and mine != cell:
                back.append((key, mine))
            elif not mine and self._purged.get(key) == (digest := self._digest(cell)):
                purged.append((key, digest))
        if purged:
            self._send(sender, Purged(tuple(purged)), eager=True)
        if back and not part.is_answer:
            for cells in in_messages(back):
                # Not before it is stable here: a crash would take it back, and its dots would be given again.
                self._send(sender, Exchange(cells, is_answer=True))


def in_messages(cells: list[tuple[bytes, bytes]]) -> Iterator[tuple[tuple[bytes, bytes], ...]]:
    """Yield keys and cells in groups of at most `MESSAGE_BYTES`, or of one that is larger."""
    group: list[tuple[bytes, bytes]] = []
    group_bytes = 0
    for key, cell in cells:
        size = len(key) + len(cell) + 16
        if group and group_bytes + size > MESSAGE_BYTES:
            yield tuple(group)
            group, group_bytes = [], 0
        group.append((key, cell))
        group_bytes += size
    if group:
        yield tuple(group)
