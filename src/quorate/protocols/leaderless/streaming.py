"""Streaming: a node fetches the ranges that it gains, in the order of hashes, from those who have them.

The receiver asks, part by part, and notes on its disk how far it has come together with what came; the source
remembers nothing. So both may crash at any time, and the stream goes on. A source answers only when it is joint: then
it takes no more old writes, and new ones go to the receiver by themselves.

Source      Cassandra (bootstrap, `stream_throughput`, resumable bootstrap).
"""

import random
from collections.abc import Iterable
from typing import Final

import msgspec

from quorate.kernel import HASH_COUNT, Instant, NodeId, Record, later, marks, seconds
from quorate.protocols.leaderless.config import LeaderlessConfig
from quorate.protocols.leaderless.messages import Fetch, Fetched
from quorate.protocols.leaderless.movement import Gain
from quorate.protocols.leaderless.moving import PERIOD, Moving
from quorate.protocols.leaderless.outgoing import Outgoing
from quorate.protocols.leaderless.records import Streamed
from quorate.protocols.leaderless.replica import MESSAGE_BYTES
from quorate.protocols.leaderless.rules import Rule

_AGAIN: Final = seconds(1)
# Keys that a source looks at per period, before it can be asked: about 10 ms.
_PREPARE_COUNT: Final = 20_000


class Incoming(msgspec.Struct):
    """One range from one source."""

    gain: Gain
    source: NodeId
    # Hashes below this have come.
    position: int
    # Of the question under way; 0: none.
    number: int = 0

    @property
    def is_done(self) -> bool:
        """Return whether all has come."""
        return self.position >= self.gain.end


class Streaming(Moving):
    """Fetches what this node gains, and gives others what they gain."""

    def __init__(self, config: LeaderlessConfig, records: Iterable[Record], rng: random.Random, *, rule: Rule) -> None:
        super().__init__(config, records, rng, rule=rule)
        self.incoming: dict[tuple[int, NodeId], Incoming] = {}
        # Source → what it was asked for, when, and how many cells; one question at a time.
        self._asked: dict[NodeId, tuple[Incoming, Instant, int]] = {}
        # Cells that may still be asked for in this period.
        self._budget = 0
        self._outgoing = Outgoing(())

    # The receiver.

    def _begin_streams(self) -> None:
        self.incoming = {}
        self._asked = {}
        # All old writes that will ever be taken are here: a joint node refuses others.
        self._outgoing = Outgoing(self.cells)
        self._outgoing.prepare(_PREPARE_COUNT)
        plan = self.plans[1]
        for gain in self.gains:
            for source in gain.owners:
                known = self._streamed.get((gain.start, source))
                is_same = known is not None and (known.plan, known.last) == (plan, gain.end - 1)
                position = known.through + 1 if known is not None and is_same else gain.start
                self.incoming[gain.start, source] = Incoming(gain, source, position)
        self._maybe_end_gathering()

    def _wanted(self, gain: Gain) -> list[Incoming] | None:
        """Return the streams that together make a range whole; None: too few sources can be reached."""
        streams = [self.incoming[gain.start, source] for source in gain.owners]
        others = [stream for stream in streams if stream.source != gain.leaver]
        of_leaver = [stream for stream in streams if stream.source == gain.leaver]
        if any(stream.is_done or stream.source not in self.down for stream in of_leaver):
            return of_leaver
        useful = [stream for stream in others if stream.is_done or stream.source not in self.down]
        majority_count = min(len(streams) // 2 + 1, len(others))
        return useful if len(useful) >= majority_count else None

    def _maybe_end_gathering(self) -> bool:
        """End gathering when all has come; return whether it has ended."""
        if self.has_gathered or not self.is_joint:
            return True
        for gain in self.gains:
            wanted = self._wanted(gain)
            if wanted is None or not all(stream.is_done for stream in wanted):
                return False
        self._gathered()
        return True

    def _stream_some(self) -> None:
        """Ask every source for its next part, within the rate; get ready to be asked."""
        self._outgoing.prepare(_PREPARE_COUNT)
        self._budget = max(1, self.config.stream_rate * PERIOD // seconds(1))
        if self._maybe_end_gathering():
            return
        for source in self.peers:
            asked = self._asked.get(source)
            if asked is None or self.now >= later(asked[1], _AGAIN):
                self._fetch_from(source)

    def _fetch_from(self, source: NodeId) -> None:
        """Ask a source for the next part of the first range that it must still give. Complexity: O(ranges)."""
        self._asked.pop(source, None)
        if self._budget <= 0:
            return
        for gain in self.gains:
            stream = self.incoming.get((gain.start, source))
            if stream is None or stream.is_done or stream not in (self._wanted(gain) or ()):
                continue
            count = min(self._budget, self.config.stream_part_count)
            self._budget -= count
            stream.number = self._number()
            self._asked[source] = (stream, self.now, count)
            # A question promises nothing.
            self._send(source, Fetch(stream.number, stream.position, gain.end - 1, count), eager=True)
            return

    def _on_fetched(self, sender: NodeId, part: Fetched) -> None:
        asked = self._asked.get(sender)
        if asked is None or asked[0].number != part.number or not self.is_joint:
            return
        stream, _, count = asked
        gain = stream.gain
        if not stream.position <= part.through < gain.end:
            self._refuse("a part of a stream that makes no sense is refused")
            return
        for key, cell in part.cells:
            if self._is_sized(key, cell) and self.holds(key):
                self._take(key, cell)
            else:
                self._refuse("a cell beyond the limits is refused")
        del self._asked[sender]
        # Only what came counts towards the rate, and an empty range as one cell.
        self._budget += max(0, count - max(1, len(part.cells)))
        stream.position = part.through + 1
        # In one write with the cells themselves.
        streamed = Streamed(self.plans[1], gain.start, gain.end - 1, sender, part.through)
        self._streamed[gain.start, sender] = streamed
        self._records.append(streamed)
        if not self._maybe_end_gathering():
            self._fetch_from(sender)

    # The source.

    def _on_fetch(self, sender: NodeId, part: Fetch) -> None:
        if not self.is_joint:
            marks.hit("leaderless: a source that is not joint does not stream")
            return
        if not 0 <= part.start <= part.last < HASH_COUNT or part.cell_count < 1:
            self._refuse("a part of a stream that makes no sense is refused")
            return
        if self._outgoing.is_ready:
            cells, through = self._part_of(part)
            # What is not stable here could be lost here: the receiver must not hold what was never written.
            self._send(sender, Fetched(part.number, through, tuple(cells)))

    def _part_of(self, part: Fetch) -> tuple[list[tuple[bytes, bytes]], int]:
        """Return cells from a hash on, and the last hash of which all are among them."""
        cells: list[tuple[bytes, bytes]] = []
        count_max = min(part.cell_count, self.config.stream_part_count)
        total_bytes = last_hash = 0
        for key_hash, key in self._outgoing.between(part.start, part.last):
            # Keys of one hash are not parted.
            if (len(cells) >= count_max or total_bytes > MESSAGE_BYTES) and key_hash != last_hash:
                return cells, key_hash - 1
            cell = self.cells.get(key)
            if cell is not None:
                cells.append((key, cell))
                total_bytes += len(key) + len(cell)
                last_hash = key_hash
        return cells, part.last
