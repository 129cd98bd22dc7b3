"""Router: which group decides about a command, when the keys of a cluster are spread over several logs.

A key belongs to the group of its hash slot (CRC16 of the key, or of what stands in its first braces, modulo 16,384, as
in Redis Cluster), and slots are dealt to groups in equal ranges. A command with keys of several groups is refused as
CROSSSLOT, because no log orders it as a whole. A command without keys is asked of every group and its replies are put
together; such an answer is linearizable per group, not over all of them.

Replies of different groups arrive in any order; a `Sequencer` per caller brings them back into the order of the calls.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from quorate.client import named_keys, place_of
from quorate.store import Command, Reply, ReplyError

_CROSS_SLOT: Final = ReplyError("CROSSSLOT", "Keys in request don't hash to the same slot")


class Door(Protocol):
    """Who waits for replies."""

    def complete(self, reply: Any) -> None:
        """Take the next reply."""

    def flush(self) -> None:
        """Write what was completed."""


class _Slot:
    """One outstanding request of a caller."""

    __slots__ = ("is_done", "reply", "sequencer")

    def __init__(self, sequencer: "Sequencer") -> None:
        self.sequencer = sequencer
        self.reply: Any = None
        self.is_done = False

    def complete(self, reply: Any) -> None:
        """Take the reply; it is passed on when all earlier ones are."""
        self.reply = reply
        self.is_done = True

    def flush(self) -> None:
        """Pass on what is in order."""
        self.sequencer.flush()


class Sequencer:
    """Passes replies to a caller in the order of its calls. Complexity: O(1) per reply."""

    def __init__(self, caller: Door) -> None:
        self._caller = caller
        self._slots: deque[_Slot] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is outstanding."""
        return not self._slots

    def slot(self) -> _Slot:
        """Return the place of the next reply."""
        slot = _Slot(self)
        self._slots.append(slot)
        return slot

    def flush(self) -> None:
        """Complete the caller with every reply whose turn it is."""
        slots = self._slots
        while slots and slots[0].is_done:
            self._caller.complete(slots.popleft().reply)
        self._caller.flush()


class _Gather:
    """One of several callers whose replies become one."""

    def __init__(self, slot: _Slot, count: int, combine: Callable[[list[Any]], Any]) -> None:
        self._slot = slot
        self._replies: dict[int, Any] = {}
        self._count = count
        self._combine = combine

    def part(self, place: int) -> "_Part":
        """Return the caller for one of them."""
        return _Part(self, place)

    def take(self, place: int, reply: Any) -> None:
        """Take one reply; when all are here, the first error or their combination is the answer."""
        self._replies[place] = reply
        if len(self._replies) == self._count:
            replies = [self._replies[number] for number in range(self._count)]
            errors = [reply for reply in replies if isinstance(reply, ReplyError)]
            self._slot.complete(errors[0] if errors else self._combine(replies))

    def flush(self) -> None:
        """Pass on."""
        if self._slot.is_done:
            self._slot.flush()


class _Part:
    __slots__ = ("_gather", "_place")

    def __init__(self, gather: _Gather, place: int) -> None:
        self._gather = gather
        self._place = place

    def complete(self, reply: Any) -> None:
        self._gather.take(self._place, reply)

    def flush(self) -> None:
        self._gather.flush()


Send = Callable[[int, Command, Any], None]
"""Gives a command to a group, by place from 0."""


class Router:
    """Spreads commands over groups.

    Args:
        group_count: how many there are.
        send: gives a command to one of them.
    """

    def __init__(self, group_count: int, send: Send) -> None:
        self.group_count = group_count
        self._send = send
        self._sequencers: dict[Any, Sequencer] = {}

    def place_of(self, key: bytes) -> int:
        """Return the place of the group that decides about a key."""
        return place_of(key, self.group_count)

    def route(self, command: Command, caller: Any) -> None:
        """Send a command to the group of its keys, or to all."""
        sequencer = self._sequencers.get(caller)
        if sequencer is None:
            self._forget_idle()
            sequencer = self._sequencers[caller] = Sequencer(caller)
        slot = sequencer.slot()
        places = self.places(command)
        if len(places) == 1:
            self._send(places[0], command, slot)
        elif places:
            slot.complete(_CROSS_SLOT)
            slot.flush()
        else:
            self._ask_all(command, slot)

    def places(self, command: Command) -> list[int]:
        """Return the places of the groups whose keys a command names; empty when it names none."""
        keys = named_keys(command)
        if not keys and command.args[0] not in _ASK_ALL:
            return [0]
        return sorted({self.place_of(key) for key in keys})

    def _ask_all(self, command: Command, slot: _Slot) -> None:
        name = command.args[0]
        if name == b"SCAN":
            self._scan(command, slot)
            return
        gather = _Gather(slot, self.group_count, _combiner(name, command.args))
        for place in range(self.group_count):
            self._send(place, command, gather.part(place))

    def _scan(self, command: Command, slot: _Slot) -> None:
        """SCAN goes through one group after another; its cursor says which."""
        text = command.args[1]
        cursor = int(text) if text.isdigit() else 0
        inner, place = divmod(cursor, self.group_count)
        args = [command.args[0], str(inner).encode(), *command.args[2:]]
        gather = _Gather(slot, 1, lambda replies: self._next_cursor(replies[0], place))
        self._send(place, Command(command.db, args), gather.part(0))

    def _next_cursor(self, reply: Any, place: int) -> Reply:
        cursor, keys = reply
        if cursor != b"0":
            return [str(int(cursor) * self.group_count + place).encode(), keys]
        following = place + 1
        return [str(following).encode() if following < self.group_count else b"0", keys]

    def _forget_idle(self) -> None:
        """Callers come and go; those without outstanding requests are forgotten now and then."""
        if len(self._sequencers) > 1_000:
            self._sequencers = {
                caller: sequencer for caller, sequencer in self._sequencers.items() if not sequencer.is_idle
            }


def _first_present(replies: Sequence[Any]) -> Any:
    return next((reply for reply in replies if reply is not None), None)


def _merge_ranges(replies: Sequence[Any], args: list[bytes]) -> Any:
    limit = int(args[3]) if args[3].isdigit() else 0
    return sorted((item for reply in replies for item in reply), key=lambda item: item[0])[:limit]


def _combiner(name: bytes, args: list[bytes]) -> Callable[[list[Any]], Any]:
    match name:
        case b"DBSIZE":
            return sum
        case b"KEYS":
            return lambda replies: [key for reply in replies for key in reply]
        case b"RANDOMKEY":
            return _first_present
        case b"QUORATE.SCAN":
            return lambda replies: _merge_ranges(replies, args)
        case _:  # FLUSHDB, FLUSHALL, QUORATE.TICK: all say the same
            return lambda replies: replies[0]


_ASK_ALL: Final = frozenset(
    {b"DBSIZE", b"KEYS", b"RANDOMKEY", b"SCAN", b"QUORATE.SCAN", b"FLUSHDB", b"FLUSHALL", b"QUORATE.TICK"}
)
