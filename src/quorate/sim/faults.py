"""Faults as data: a schedule of them can be printed, edited, replayed and made smaller."""

from collections.abc import Iterator, Sequence

import msgspec

from quorate.kernel import MILLISECOND, SECOND, Duration
from quorate.sim.choices import Stream
from quorate.sim.partitions import SHAPES, shape


class Crash(msgspec.Struct, frozen=True, tag="crash"):
    """End a node's process at once; its page cache survives."""

    node: int


class Tear(msgspec.Struct, frozen=True, tag="tear"):
    """Cut a node's power: un-synced writes are lost, torn or reordered."""

    node: int


class Wipe(msgspec.Struct, frozen=True, tag="wipe"):
    """Cut a node's power and lose all that is on its disk; it starts again as if new, under its old number."""

    node: int


class Restart(msgspec.Struct, frozen=True, tag="restart"):
    """Start a node that is down."""

    node: int


class Pause(msgspec.Struct, frozen=True, tag="pause"):
    """Stop a node's process for a span."""

    node: int
    span: Duration


class Partition(msgspec.Struct, frozen=True, tag="partition"):
    """Cut directed links, in addition to those that are cut."""

    # What it was drawn as; for people.
    shape: str
    # Directed pairs of nodes, (from, to).
    cuts: tuple[tuple[int, int], ...]


class Clog(msgspec.Struct, frozen=True, tag="clog"):
    """Make every link of a node slow and lossy for a span."""

    node: int
    latency: Duration
    lose: float
    span: Duration


class Skew(msgspec.Struct, frozen=True, tag="skew"):
    """Change a node's clocks: the rate, and a jump of the wall clock."""

    node: int
    drift_ppb: int
    jump: Duration


class Rot(msgspec.Struct, frozen=True, tag="rot"):
    """Flip a bit in one of a node's files."""

    node: int
    prefix: str = ""


class Stall(msgspec.Struct, frozen=True, tag="stall"):
    """Let no sync of a node's disk end within a span."""

    node: int
    span: Duration


class Heal(msgspec.Struct, frozen=True, tag="heal"):
    """Mend all links."""


Fault = Crash | Tear | Wipe | Restart | Pause | Partition | Clog | Skew | Rot | Stall | Heal


class Planned(msgspec.Struct, frozen=True):
    """A fault and its true time in nanoseconds since the nemesis began."""

    at: int
    fault: Fault


def kind_of(fault: Fault) -> str:
    """Return a fault's name."""
    return type(fault).__name__.lower()


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """How often each kind of harm comes, relative to the others, and how long it lasts."""

    crash: int = 4
    tear: int = 2
    pause: int = 2
    partition: int = 6
    clog: int = 2
    skew: int = 1
    rot: int = 0
    stall: int = 1
    wipe: int = 0
    # Pause between two faults, and how long one lasts, uniformly in between.
    gap_min: Duration = Duration(200 * MILLISECOND)
    gap_max: Duration = Duration(3 * SECOND)
    span_min: Duration = Duration(100 * MILLISECOND)
    span_max: Duration = Duration(4 * SECOND)
    drift_ppb_max: int = 200_000
    jump_max: Duration = Duration(60 * SECOND)


class FaultSchedule(msgspec.Struct, frozen=True):
    """Planned faults in order of time."""

    items: tuple[Planned, ...] = ()

    @classmethod
    def drawn(cls, dice: Stream, nodes: Sequence[int], span: Duration, mix: Mix | None = None) -> "FaultSchedule":
        """Draw a schedule for so much time; each harm is planned together with its end.

        Args:
            dice: the source of every choice.
            nodes: whom to harm.
            span: no harm begins later.
            mix: what, how often, how long.
        """
        mix = mix or Mix()
        items: list[Planned] = []
        at = dice.between(mix.gap_min, mix.gap_max)
        while at < span:
            items += _drawn_harm(dice, nodes, at, mix)
            at += dice.between(mix.gap_min, mix.gap_max)
        return cls(tuple(sorted(items, key=lambda item: item.at)))

    def __iter__(self) -> Iterator[Planned]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def to_json(self) -> bytes:
        """Return a text that a person can edit."""
        return msgspec.json.format(msgspec.json.encode(self))

    @classmethod
    def from_json(cls, text: bytes | str) -> "FaultSchedule":
        """Return the schedule of a text; raise msgspec.DecodeError naming what is wrong."""
        return msgspec.json.decode(text, type=cls)


def _drawn_harm(dice: Stream, nodes: Sequence[int], at: int, mix: Mix) -> list[Planned]:
    names = ("crash", "tear", "pause", "partition", "clog", "skew", "rot", "stall", "wipe")
    place = dice.below(sum(getattr(mix, name) for name in names))
    name = next(name for name in names for _ in range(getattr(mix, name)) if (place := place - 1) < 0)
    node = nodes[dice.below(len(nodes))]
    span = Duration(dice.between(mix.span_min, mix.span_max))
    match name:
        case "crash":
            return [Planned(at, Crash(node)), Planned(at + span, Restart(node))]
        case "tear":
            return [Planned(at, Tear(node)), Planned(at + span, Restart(node))]
        case "pause":
            return [Planned(at, Pause(node, span))]
        case "partition":
            chosen = SHAPES[dice.below(len(SHAPES))]
            return [
                Planned(at, Partition(chosen, tuple(shape(chosen, nodes, dice)))),
                Planned(at + span, Heal()),
            ]
        case "clog":
            latency = Duration(dice.between(MILLISECOND, 300 * MILLISECOND))
            return [Planned(at, Clog(node, latency, dice.below(30) / 100, span))]
        case "skew":
            drift = dice.between(-mix.drift_ppb_max, mix.drift_ppb_max)
            return [Planned(at, Skew(node, drift, Duration(dice.between(-mix.jump_max, mix.jump_max))))]
        case "rot":
            return [Planned(at, Rot(node))]
        case "wipe":
            return [Planned(at, Wipe(node)), Planned(at + span, Restart(node))]
        case _:
            return [Planned(at, Stall(node, span))]
