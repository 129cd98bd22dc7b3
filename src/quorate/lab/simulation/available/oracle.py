"""What a leaderless keyspace may not do, whatever happens: the judge of its campaigns.

Cells of a key form a lattice, so promises are sentences about joins, for every rule alike. Let J be the join of all
cells that were answered as written. Then: a read that overlaps with all acknowledged writes contains the J of its
beginning; with blocking repair it also contains every cell that was read before it began; when all is healed, every
owner's cell is the same and contains J. A tombstone may be forgotten when its grace has passed: so a cell is held to J
together with P, the join of all tombstones that may have been forgotten, and nothing that P deletes may be alive in it.

Besides: an acknowledged write shows its own value; counts are applied once; siblings stay as few as their writers.
"""

from quorate.kernel.errors import QuorateError
from quorate.lab.simulation.options import Failed, Kind
from quorate.protocols.leaderless import Rule


class KeyFacts:
    """What is known of one key."""

    def __init__(self) -> None:
        # Joins of what was acknowledged, and of that and all that was read.
        self.acknowledged = b""
        self.observed = b""
        # Every tombstone that any node ever held, and its time, wall clock in ms.
        self.tombstones: dict[bytes, int] = {}
        # Counts: acknowledged, and of unknown outcome.
        self.counted = 0
        self.maybe_counted = 0
        # Set members whose addition was acknowledged, and those that somebody tried to remove.
        self.added: dict[bytes, None] = {}
        self.removed: dict[bytes, None] = {}
        self.unknown_count = 0
        self.sibling_count_max = 0


class Oracle:
    """Collects what clients were told about keys and raises `Failed` for what may not be.

    Args:
        rule: of the keyspace.
        is_strict: reads overlap with all acknowledged writes.
        is_monotonic: and a read that has answered has repaired what it saw.
        grace_ms: after which a tombstone may be forgotten.
        slack_ms: by how much wall clocks may disagree.
    """

    def __init__(self, rule: Rule, *, is_strict: bool, is_monotonic: bool, grace_ms: int, slack_ms: int) -> None:
        self.rule = rule
        self.is_strict = is_strict
        self.is_monotonic = is_monotonic
        self.grace_ms = grace_ms
        self.slack_ms = slack_ms
        self.keys: dict[bytes, KeyFacts] = {}

    def facts(self, key: bytes) -> KeyFacts:
        """Return what is known of a key."""
        found = self.keys.get(key)
        if found is None:
            found = self.keys[key] = KeyFacts()
        return found

    # -- while it runs --------

    def floor(self, key: bytes) -> bytes:
        """Return what a read that begins now must contain; empty when nothing is promised."""
        facts = self.facts(key)
        if not self.is_strict:
            return b""
        return facts.observed if self.is_monotonic else facts.acknowledged

    def wrote(self, key: bytes, cell: bytes) -> None:
        """Note an acknowledged write with the cell that it was answered with."""
        facts = self.facts(key)
        facts.acknowledged = self._join(key, facts.acknowledged, cell)
        facts.observed = self._join(key, facts.observed, cell)

    def held(self, key: bytes, cell: bytes) -> None:
        """Note a cell that some node holds from now on."""
        deleted_at_ms = self.rule.deleted_at_ms(cell) if cell else None
        if deleted_at_ms is not None:
            self.facts(key).tombstones[cell] = deleted_at_ms

    def read(self, key: bytes, floor: bytes, cell: bytes, now_ms: int) -> None:
        """Judge a read that was answered, against the floor of its beginning."""
        if floor and not self.holds(key, cell, floor, now_ms):
            self._fail("lost write", key, "a read does not contain what was acknowledged before it", floor, cell)
        facts = self.facts(key)
        facts.observed = self._join(key, facts.observed, cell)

    def holds(self, key: bytes, cell: bytes, wanted: bytes, now_ms: int) -> bool:
        """Return whether a cell contains another, tombstones that may be forgotten aside."""
        if not wanted or self._join(key, cell, wanted) == cell:
            return True
        forgotten = b""
        for tombstone, at_ms in self.facts(key).tombstones.items():
            if now_ms + self.slack_ms >= at_ms + self.grace_ms:
                forgotten = self._join(key, forgotten, tombstone)
        together = self._join(key, cell, forgotten)
        is_dead = self._alive(together) != self._alive(cell)
        return not is_dead and self._join(key, together, wanted) == together

    def _alive(self, cell: bytes) -> tuple[bytes, ...]:
        return self.rule.seen(cell).values if cell else ()

    def _join(self, key: bytes, mine: bytes, theirs: bytes) -> bytes:
        try:
            return self.rule.merge(mine, theirs)
        except QuorateError as cause:
            raise Failed("exception", f"key {key!r}: a cell that was handed out cannot be merged: {cause}") from cause

    # -- at the end --------

    def judge_end(self, key: bytes, cells: dict[int, bytes], now_ms: int) -> None:
        """Judge what all owners hold when everything is healed and quiet."""
        if len(dict.fromkeys(cells.values())) > 1:
            shown = "; ".join(f"n{node}: {self._show(cell)}" for node, cell in cells.items())
            raise Failed("no convergence", f"key {key!r}: owners differ at the end: {shown}")
        cell = next(iter(cells.values()))
        facts = self.facts(key)
        if not self.holds(key, cell, facts.acknowledged, now_ms):
            is_dead = self.rule.deleted_at_ms(facts.acknowledged) is not None
            kind: Kind = "resurrection" if is_dead and self.rule.seen(cell).values else "lost write"
            self._fail(kind, key, "what was acknowledged is not there at the end", facts.acknowledged, cell)
        if key.startswith(b"counter"):
            self._judge_count(key, facts, cell)
        elif key.startswith(b"set"):
            self._judge_set(key, facts, cell)

    def _judge_count(self, key: bytes, facts: KeyFacts, cell: bytes) -> None:
        values = self.rule.seen(cell).values
        total = int(values[0]) if values else 0
        if not facts.counted <= total <= facts.counted + facts.maybe_counted:
            kind: Kind = "lost write" if total < facts.counted else "applied twice"
            sentence = f"the sum is {total}; {facts.counted} were acknowledged, {facts.maybe_counted} more are unknown"
            raise Failed(kind, f"key {key!r}: {sentence}")

    def _judge_set(self, key: bytes, facts: KeyFacts, cell: bytes) -> None:
        members = self.rule.seen(cell).values
        lost = [member for member in facts.added if member not in facts.removed and member not in members]
        if lost:
            raise Failed("lost write", f"key {key!r}: members {lost[:5]!r} were added, never removed, and are gone")

    def judge_siblings(self, key: bytes, sibling_count: int, bound: int) -> None:
        """Judge how many siblings a key has."""
        facts = self.facts(key)
        facts.sibling_count_max = max(facts.sibling_count_max, sibling_count)
        if sibling_count > bound:
            raise Failed(
                "sibling explosion",
                f"key {key!r} has {sibling_count} siblings; its writers can account for {bound}",
            )

    def _fail(self, kind: Kind, key: bytes, sentence: str, wanted: bytes, cell: bytes) -> None:
        text = f"key {key!r}: {sentence}: wanted {self._show(wanted)}, there is {self._show(cell)}"
        raise Failed(kind, text)

    def _show(self, cell: bytes) -> str:
        if not cell:
            return "nothing"
        seen = self.rule.seen(cell)
        deleted_at_ms = self.rule.deleted_at_ms(cell)
        what = f"a tombstone of {deleted_at_ms}" if deleted_at_ms is not None else f"{seen.kind} {list(seen.values)!r}"
        return f"{what} ({self.rule.token(cell).hex()})"
