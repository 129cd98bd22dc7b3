"""Interval tree clocks: causality without a fixed list of actors.

Theory. The interval [0, 1) is shared out: `fork` gives half of one's share away, `join` takes a share back. An event
raises the count somewhere over one's own share, so nobody else can have made the same event. Counts are a tree over the
interval, which stays small because equal neighbours melt together. No actor names, nothing to prune.

An identity is 0 (nothing), 1 (all) or a pair of halves; a history is a count or (base, left, right).

Source      Almeida, Baquero, Fonte 2008, "Interval tree clocks: a logical clock for dynamic systems".
Deviations  An encoding of our own in bits: a leaf of an identity is 0 and its value, a node is 1, left, right; a count
            is an Elias gamma number; a leaf of a history is 0 and its count, a node is 1, base, left, right.
Complexity  O(size of the trees).
Bounds      Trees at most 128 deep: as many forks of forks in a row.
"""

from typing import Final, NamedTuple

from quorate.clocks.order import Order
from quorate.kernel import BadPayload, errors, seal, unseal

DEPTH_MAX: Final = 128
_KIND: Final = "interval-tree-clock"
# A forged count must not make us build huge numbers.
_COUNT_BITS_MAX: Final = 64

Identity = int | tuple["Identity", "Identity"]
History = int | tuple[int, "History", "History"]


class OverlappingShares(errors.UsageError):
    """Two stamps claim the same part of the interval: one was used after it was forked, or copied."""

    code = "OVERLAP"


class NoShare(errors.UsageError):
    """An anonymous stamp (a message's) cannot make events."""

    code = "NOSHARE"


class TooManyForks(errors.UsageError):
    """A share was halved more often than the depth bound allows; join some shares first."""

    code = "FORKS"


class IntervalTreeStamp(NamedTuple):
    """Who one is and what one knows. A value: operations return new stamps.

    Example:
        >>> left, right = IntervalTreeStamp.seed().fork()
        >>> left = left.event()
        >>> left.compare(right)
        <Order.AFTER: 'after'>
        >>> left.compare(right.event())
        <Order.CONCURRENT: 'concurrent'>
        >>> left.join(right.event()).event()
        IntervalTreeStamp(identity=1, history=2)
    """

    identity: Identity
    history: History

    @classmethod
    def seed(cls) -> "IntervalTreeStamp":
        """Return the first stamp of a system, which owns everything and knows nothing."""
        return cls(1, 0)

    def fork(self) -> tuple["IntervalTreeStamp", "IntervalTreeStamp"]:
        """Return two stamps with the same history that share the identity between them."""
        if _depth(self.identity) >= DEPTH_MAX:
            raise TooManyForks(f"this share was already halved {DEPTH_MAX} times in a row")
        left, right = _split(self.identity)
        return IntervalTreeStamp(left, self.history), IntervalTreeStamp(right, self.history)

    def peek(self) -> "IntervalTreeStamp":
        """Return an anonymous stamp with this history: what a message carries."""
        return IntervalTreeStamp(0, self.history)

    def event(self) -> "IntervalTreeStamp":
        """Return the stamp after one more event here; raise `NoShare` for an anonymous one."""
        if self.identity == 0:
            raise NoShare("a stamp without a share of the interval cannot make events")
        filled = _fill(self.identity, self.history)
        if filled != self.history:
            return IntervalTreeStamp(self.identity, filled)
        grown, _ = _grow(self.identity, self.history)
        return IntervalTreeStamp(self.identity, grown)

    def join(self, other: "IntervalTreeStamp") -> "IntervalTreeStamp":
        """Return the stamp that owns both shares and knows both histories; raise `OverlappingShares`."""
        return IntervalTreeStamp(_sum(self.identity, other.identity), _join(self.history, other.history))

    def receive(self, message: "IntervalTreeStamp") -> "IntervalTreeStamp":
        """Return the stamp of the arrival of a message that carried a stamp."""
        return self.join(message.peek()).event()

    def compare(self, other: "IntervalTreeStamp") -> Order:
        """Return how this history stands to another: before, after, equal or concurrent."""
        return Order.from_descents(
            first_descends=_leq(other.history, self.history), second_descends=_leq(self.history, other.history)
        )

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: the bits of identity and history, after a 1 that marks their beginning."""
        bits = "1" + _identity_bits(self.identity) + _history_bits(self.history)
        return seal(_KIND, 1, int(bits, 2).to_bytes((len(bits) + 7) // 8, "big"))

    @classmethod
    def from_bytes(cls, data: bytes) -> "IntervalTreeStamp":
        """Return the stamp in sealed bytes; raise `Undecodable` for anything else."""
        _, payload = unseal(_KIND, data)
        reader = _Reader(f"{int.from_bytes(payload, 'big'):b}"[1:])
        stamp = cls(reader.identity(0), reader.history(0))
        if reader.is_at_end() and stamp.to_bytes() == bytes(data):
            return stamp
        raise BadPayload("an interval tree clock is not in its one normal form")


def _depth(tree: Identity) -> int:
    return 0 if isinstance(tree, int) else 1 + max(_depth(tree[0]), _depth(tree[1]))


def _pair(left: Identity, right: Identity) -> Identity:
    return left if isinstance(left, int) and left == right else (left, right)


def _split(tree: Identity) -> tuple[Identity, Identity]:
    if isinstance(tree, int):
        return ((1, 0), (0, 1)) if tree else (0, 0)
    left, right = tree
    if left == 0:
        first, second = _split(right)
        return (0, first), (0, second)
    if right == 0:
        first, second = _split(left)
        return (first, 0), (second, 0)
    return (left, 0), (0, right)


def _sum(a: Identity, b: Identity) -> Identity:
    if a == 0:
        return b
    if b == 0:
        return a
    if isinstance(a, int) or isinstance(b, int):
        raise OverlappingShares("two stamps own the same part of the interval")
    return _pair(_sum(a[0], b[0]), _sum(a[1], b[1]))


def _node(base: int, left: History, right: History) -> History:
    """Return the normal form: equal leaves melt, and what both halves have in common moves into the base."""
    if isinstance(left, int) and left == right:
        return base + left
    common = min(_base(left), _base(right))
    return (base + common, _lift(-common, left), _lift(-common, right))


def _base(tree: History) -> int:
    """Return the smallest count of a tree in normal form."""
    return tree if isinstance(tree, int) else tree[0]


def _lift(by: int, tree: History) -> History:
    return tree + by if isinstance(tree, int) else (tree[0] + by, tree[1], tree[2])


def _largest(tree: History) -> int:
    return tree if isinstance(tree, int) else tree[0] + max(_largest(tree[1]), _largest(tree[2]))


def _leq(a: History, b: History) -> bool:
    if isinstance(a, int):
        return a <= _base(b)
    base, left, right = a
    if isinstance(b, int):
        return _largest(a) <= b
    return base <= b[0] and _leq(_lift(base, left), _lift(b[0], b[1])) and _leq(_lift(base, right), _lift(b[0], b[2]))


def _join(a: History, b: History) -> History:
    if isinstance(a, int):
        if isinstance(b, int):
            return max(a, b)
        a = (a, 0, 0)
    elif isinstance(b, int):
        b = (b, 0, 0)
    if a[0] > b[0]:
        a, b = b, a
    raised = b[0] - a[0]
    return _node(a[0], _join(a[1], _lift(raised, b[1])), _join(a[2], _lift(raised, b[2])))


def _fill(identity: Identity, tree: History) -> History:
    """Raise counts over the own share up to what is known beside it, which simplifies the tree."""
    if isinstance(tree, int) or identity == 0:
        return tree
    if isinstance(identity, int):
        return _largest(tree)
    base, left, right = tree
    if identity[0] == 1:
        right = _fill(identity[1], right)
        return _node(base, max(_largest(left), _base(right)), right)
    if identity[1] == 1:
        left = _fill(identity[0], left)
        return _node(base, left, max(_largest(right), _base(left)))
    return _node(base, _fill(identity[0], left), _fill(identity[1], right))


def _grow(identity: Identity, tree: History) -> tuple[History, tuple[int, int]]:
    """Raise one count over the own share, where it costs least: first new nodes, then depth."""
    if isinstance(tree, int):
        if identity == 1:
            return tree + 1, (0, 0)
        grown, (nodes, depth) = _grow(identity, (tree, 0, 0))
        return grown, (nodes + 1, depth)
    assert not isinstance(identity, int), "over a share without halves the tree was filled before"
    base, left, right = tree
    grown_left, cost_left = (left, None) if identity[0] == 0 else _grow(identity[0], left)
    grown_right, cost_right = (right, None) if identity[1] == 0 else _grow(identity[1], right)
    if cost_right is None or (cost_left is not None and cost_left < cost_right):
        assert cost_left is not None, "a normal identity owns a part of every node"
        return (base, grown_left, right), (cost_left[0], cost_left[1] + 1)
    return (base, left, grown_right), (cost_right[0], cost_right[1] + 1)


def _identity_bits(tree: Identity) -> str:
    return f"0{tree}" if isinstance(tree, int) else "1" + _identity_bits(tree[0]) + _identity_bits(tree[1])


def _history_bits(tree: History) -> str:
    if isinstance(tree, int):
        return "0" + _gamma(tree)
    return "1" + _gamma(tree[0]) + _history_bits(tree[1]) + _history_bits(tree[2])


def _gamma(value: int) -> str:
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


class _Reader:
    """Takes the bits of a stamp apart."""

    def __init__(self, bits: str) -> None:
        self._bits = bits
        self._at = 0

    def is_at_end(self) -> bool:
        return self._at == len(self._bits)

    def identity(self, depth: int) -> Identity:
        if self._take(1, depth) == "0":
            return int(self._take(1))
        return _pair(self.identity(depth + 1), self.identity(depth + 1))

    def history(self, depth: int) -> History:
        if self._take(1, depth) == "0":
            return self._number()
        return _node(self._number(), self.history(depth + 1), self.history(depth + 1))

    def _number(self) -> int:
        zero_count = 0
        while zero_count <= _COUNT_BITS_MAX and self._take(1) == "0":
            zero_count += 1
        # The 1 that ended the zeros is the number's first bit.
        return int("1" + self._take(zero_count), 2) - 1

    def _take(self, bit_count: int, depth: int = 0) -> str:
        taken = self._bits[self._at : self._at + bit_count]
        if len(taken) < bit_count or depth > DEPTH_MAX:
            raise BadPayload("an interval tree clock ends early, or is too deep")
        self._at += bit_count
        return taken
