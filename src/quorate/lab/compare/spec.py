"""Designs as texts: `raft`, `raft:lease`, `leaderless:n=3,r=1,w=1,sloppy`. Parsed once, plain data from then on."""

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from quorate.kernel.errors import UsageError
from quorate.protocols.leaderless import LEVELS

Repair = Literal["blocking", "background", "none"]
REPAIRS: Final = ("blocking", "background", "none")
RULES: Final = ("lww", "siblings")
MILLISECONDS_MAX: Final = 60_000


class RaftDesign(msgspec.Struct, frozen=True, kw_only=True, tag="raft", omit_defaults=True):
    """One leader orders all writes; every node has everything."""

    # T of Raft, milliseconds; a heartbeat is a fifth of it.
    election_ms: int = 300
    # Reads by the leader's lease instead of a round of heartbeats.
    lease: bool = False


class LeaderlessDesign(msgspec.Struct, frozen=True, kw_only=True, tag="leaderless", omit_defaults=True):
    """Any node serves; so many of a key's replicas must answer."""

    n: int = 3
    # A number of replicas, or a word of LEVELS; writes: NONE (or w=0) is fire and forget.
    r: str = "2"
    w: str = "2"
    # Others stand in for owners that cannot be reached.
    sloppy: bool = False
    repair: Repair = "blocking"
    rule: str = "lww"
    # Hints for owners that did not answer, and comparison of replicas in the background.
    hints: bool = True
    anti_entropy: bool = True
    # Reads ask all owners at once, as Dynamo does, instead of as many as needed.
    eager: bool = False

    def count_of(self, level: str) -> int:
        """Return how many of a key's owners a level waits for, in one data centre."""
        words = {"NONE": 0, "ANY": 1, "ONE": 1, "LOCAL_ONE": 1, "TWO": 2, "THREE": 3, "ALL": self.n}
        majority = self.n // 2 + 1
        return int(level) if level.isdigit() else words.get(level, majority)

    @property
    def read_quorum(self) -> int:
        """Owners that a read waits for."""
        return self.count_of(self.r)

    @property
    def write_quorum(self) -> int:
        """Owners that a write waits for; 0: none."""
        return self.count_of(self.w)

    @property
    def is_overlapping(self) -> bool:
        """Whether every read quorum meets every write quorum of owners."""
        return self.read_quorum + self.write_quorum > self.n and not (self.sloppy or self.w == "ANY")


Design: TypeAlias = RaftDesign | LeaderlessDesign


def parse_design(text: str) -> Design:
    """Return the design of a text.

    Args:
        text: a kind, and after a colon its options with commas: `name=value`, or the name alone for a switch.

    Raises:
        UsageError: an unknown kind or option, or values that cannot be; the sentence says what is known.

    Example:
        >>> parse_design("leaderless:n=3,r=1,w=1").write_quorum
        1
    """
    kind, _, rest = text.strip().partition(":")
    if kind not in KINDS:
        raise UsageError(f"design: {' or '.join(KINDS)}, with options after a colon; not {text!r}")
    make, options = KINDS[kind]
    given: dict[str, Any] = {}
    for part in [part.strip() for part in rest.split(",") if part.strip()]:
        name, is_given, value = part.partition("=")
        if name not in options:
            raise UsageError(f"{kind}: the options are {', '.join(options)}; not {name!r}")
        if name in given:
            raise UsageError(f"{kind}: {name} is given twice")
        given[name] = options[name](f"{kind}: {name}", value if is_given else None)
    design = make(**{_FIELDS.get(name, name): value for name, value in given.items()})
    if isinstance(design, LeaderlessDesign):
        _check_quorums(design)
    return design


def design_text(design: Design) -> str:
    """Return the shortest text that is this design, as it is printed everywhere.

    Example:
        >>> design_text(parse_design("leaderless:w=2, r=2,n=3"))
        'leaderless:n=3,r=2,w=2'
    """
    if isinstance(design, RaftDesign):
        parts = ["lease"] if design.lease else []
        parts += [f"election={design.election_ms}"] if design.election_ms != RaftDesign().election_ms else []
        return "raft" + (":" + ",".join(parts) if parts else "")
    plain = LeaderlessDesign()
    parts = [f"n={design.n}", f"r={design.r.lower()}", f"w={design.w.lower()}"]
    parts += ["sloppy"] if design.sloppy else []
    parts += ["eager"] if design.eager else []
    parts += [f"repair={design.repair}"] if design.repair != plain.repair else []
    parts += [f"rule={design.rule}"] if design.rule != plain.rule else []
    parts += [] if design.hints else ["hints=no"]
    parts += [] if design.anti_entropy else ["anti-entropy=no"]
    return "leaderless:" + ",".join(parts)


def check_fits(design: Design, node_count: int) -> None:
    """Raise UsageError when a design needs more nodes than there are."""
    if isinstance(design, LeaderlessDesign) and design.n > node_count:
        raise UsageError(f"{design_text(design)}: {design.n} copies need as many nodes; there are {node_count}")


def _check_quorums(design: LeaderlessDesign) -> None:
    text = design_text(design)
    if not 1 <= design.n <= 9:
        raise UsageError(f"{text}: n is from 1 to 9")
    if design.r in {"NONE", "ANY"} or not 1 <= design.read_quorum <= design.n:
        raise UsageError(f"{text}: r is from 1 to n, or one, two, three, quorum, all")
    if design.write_quorum > design.n:
        raise UsageError(f"{text}: w is from 0 (fire and forget) to n, or none, any, one, two, three, quorum, all")


def _switch(name: str, value: str | None) -> bool:
    if value in {None, "yes", "on", "true"}:
        return True
    if value in {"no", "off", "false"}:
        return False
    raise UsageError(f"{name} is yes or no, not {value!r}")


def _number(low: int, high: int) -> Callable[[str, str | None], int]:
    def read(name: str, value: str | None) -> int:
        if value is None or not value.isdecimal() or not low <= int(value) <= high:
            raise UsageError(f"{name} is a whole number from {low} to {high}, not {value or 'nothing'}")
        return int(value)

    return read


def _level(name: str, value: str | None) -> str:
    if value is not None and value.isdecimal():
        return "NONE" if int(value) == 0 else str(int(value))
    if value is None or value.upper() not in LEVELS:
        raise UsageError(f"{name} is a number of replicas or {', '.join(LEVELS).lower()}; not {value or 'nothing'}")
    return value.upper()


def _one_of(*words: str) -> Callable[[str, str | None], str]:
    def read(name: str, value: str | None) -> str:
        if value not in words:
            raise UsageError(f"{name} is {', '.join(words)}; not {value or 'nothing'}")
        return value

    return read


_Options = dict[str, Callable[[str, str | None], Any]]

_RAFT: Final[_Options] = {"election": _number(20, MILLISECONDS_MAX), "lease": _switch}
_LEADERLESS: Final[_Options] = {
    "n": _number(1, 9),
    "r": _level,
    "w": _level,
    "sloppy": _switch,
    "eager": _switch,
    "repair": _one_of(*REPAIRS),
    "rule": _one_of(*RULES),
    "hints": _switch,
    "anti-entropy": _switch,
}
# Options whose field has another name.
_FIELDS: Final = {"election": "election_ms", "anti-entropy": "anti_entropy"}

KINDS: Final[dict[str, tuple[Callable[..., Design], _Options]]] = {
    "raft": (RaftDesign, _RAFT),
    "leaderless": (LeaderlessDesign, _LEADERLESS),
}
