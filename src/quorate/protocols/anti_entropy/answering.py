"""The side that is asked: it compares with its own index, and keeps nothing."""

from array import array

from quorate.kernel import NodeId, marks
from quorate.protocols.anti_entropy.index import DIGEST_BYTES
from quorate.protocols.anti_entropy.intervals import PIECE_COUNT_MAX, Interval, pieces
from quorate.protocols.anti_entropy.messages import AGAIN, CUT, Answer, Ask, Decline, Listing, Names, Sums
from quorate.protocols.anti_entropy.state import AntiEntropyState

# A question larger than any configuration makes is refused: it would cost its receiver more than its sender.
PART_COUNT_MAX = 4_096


def to_digests(data: bytes) -> "array[int] | None":
    """Return the digests in bytes, None when it cannot be digests. Little endian whatever the machine."""
    if len(data) % DIGEST_BYTES:
        return None
    digests: array[int] = array("Q")
    digests.frombytes(data)
    if _IS_BIG_ENDIAN:
        digests.byteswap()
    return digests


def from_digests(digests: list[int]) -> bytes:
    """Return digests as bytes."""
    packed = array("Q", digests)
    if _IS_BIG_ENDIAN:
        packed.byteswap()
    return packed.tobytes()


_IS_BIG_ENDIAN = array("H", [1]).tobytes() == b"\0\1"


class Answering(AntiEntropyState):
    """Answers questions."""

    def _on_ask(self, sender: NodeId, ask: Ask) -> None:
        if ask.version != self.version:
            marks.hit("anti-entropy: declined for another topology")
            self._send(sender, Decline(ask.exchange, self.version))
            return
        answer = self._answer(ask)
        if answer is None:
            marks.hit("anti-entropy: refused a question that makes no sense")
            self.refused_count += 1
            self._send(sender, Decline(ask.exchange, self.version))
            return
        self._send(sender, answer)

    def _answer(self, ask: Ask) -> Answer | None:
        if len(ask.sums) + len(ask.listings) > PART_COUNT_MAX:
            return None
        if any(part.last < part.start for part in ask.sums) or any(part.last < part.start for part in ask.listings):
            return None
        differing: list[int] = []
        for part in ask.sums:
            places = self._differing_in(part)
            if places is None:
                return None
            differing.append(places)
        names: list[Names] = []
        bytes_left, count_left = self.config.name_bytes_max, self.config.name_count_max
        for listing in ask.listings:
            # The first one is always answered, so that a comparison goes on whatever the size of keys.
            is_full = bool(names) and min(bytes_left, count_left) <= 0
            found = Names((), b"", AGAIN) if is_full else self._names_in(listing)
            if found is None:
                return None
            bytes_left -= sum(len(key) for key, _ in found.named)
            count_left -= len(found.named) + len(found.lacking) // DIGEST_BYTES
            names.append(found)
        return Answer(ask.exchange, ask.step, tuple(differing), tuple(names))

    def _differing_in(self, part: Sums) -> int | None:
        """Return the places of the pieces whose digests differ, as bits; None for what makes no sense."""
        whole = Interval(part.start, part.last + 1)
        theirs = to_digests(part.digests)
        if theirs is None or not 1 <= len(theirs) <= PIECE_COUNT_MAX:
            return None
        runs = [whole] if len(theirs) == 1 or whole.is_single else pieces(whole)
        if len(runs) != len(theirs):
            return None
        return sum(
            1 << place
            for place, (run, digest) in enumerate(zip(runs, theirs, strict=True))
            if self.index.xor(run) != digest
        )

    def _names_in(self, listing: Listing) -> Names | None:
        """Return what differs from a listing; None for what makes no sense.

        Only what differs is named: equal keys cost 8 bytes on the way here and none on the way back.
        """
        whole = Interval(listing.start, listing.last + 1)
        theirs = to_digests(listing.digests)
        if theirs is None:
            return None
        unknown: dict[int, int] = {}
        for digest in theirs:
            unknown[digest] = unknown.get(digest, 0) + 1
        limit = self.config.name_count_max + len(theirs)
        if not whole.is_single and self.index.count_up_to(whole, limit) > limit:
            marks.hit("anti-entropy: too many keys to name")
            return Names((), b"", CUT)
        named: list[tuple[bytes, int]] = []
        for key, digest in self.index.items(whole):
            if unknown.get(digest, 0):
                unknown[digest] -= 1
            else:
                named.append((key, digest))
        if not whole.is_single and sum(len(key) for key, _ in named) > self.config.name_bytes_max:
            return Names((), b"", CUT)
        lacking = sorted(digest for digest, count in unknown.items() for _ in range(count))
        return Names(tuple(sorted(named)[: limit + 1]), from_digests(lacking))
