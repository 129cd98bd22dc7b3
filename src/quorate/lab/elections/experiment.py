"""Two leaders, and what each cure cures: what is asked, what happened, and how it is counted."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from quorate.kernel import SECOND, Codec, Duration, NodeId, milliseconds, seconds
from quorate.kernel.errors import UsageError
from quorate.protocols.election import (
    BULLY_MESSAGES,
    RING_MESSAGES,
    Bully,
    ElectionConfig,
    Elector,
    FencedResource,
    Ring,
    Token,
)

KINDS: Final[dict[str, tuple[type[Elector], Codec]]] = {  # type: ignore[type-arg]  # of either's messages
    "bully": (Bully, BULLY_MESSAGES),
    "ring": (Ring, RING_MESSAGES),
}
CURES: Final = ("none", "token", "quorum", "quorum + token", "stonith")
"""What is done against two leaders: nothing; the resource compares tokens; a leader needs a majority; both; a leader
kills whoever has not acknowledged it, and works once they are known to be dead."""

HARMS: Final = ("partition", "pause")
"""The leader and one more node are cut off; the leader stands still for half of the time, and does not notice."""

NODES: Final = tuple(NodeId(node) for node in range(1, 6))
SIDES: Final = ((NodeId(1), NodeId(2), NodeId(3)), (NodeId(4), NodeId(5)))
"""The leader is on the smaller side. The resource, and whoever kills, can be reached from both."""
LEADER: Final = NODES[-1]
WRITE_INTERVAL: Final = milliseconds(20)
WRITE_DELAY: Final = milliseconds(5)
"""From a leader's decision to write to the write."""
ACKNOWLEDGE_SPAN: Final = milliseconds(300)
"""How long a new leader waits for acknowledgements before it has the others killed."""
PAUSE: Final = Duration(2 * SECOND)


class ElectionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of cures."""

    kinds: tuple[str, ...] = tuple(KINDS)
    cures: tuple[str, ...] = CURES
    harms: tuple[str, ...] = HARMS
    seed: int = 1
    # How long the harm is watched.
    span: Duration = seconds(10)

    def __post_init__(self) -> None:
        for name, known in (("kinds", tuple(KINDS)), ("cures", CURES), ("harms", HARMS)):
            chosen = getattr(self, name)
            unknown = [one for one in chosen if one not in known]
            if unknown or not chosen:
                raise UsageError(f"{name}: of {', '.join(known)}, not {', '.join(unknown) or 'nothing'}")
        if not seconds(2) <= self.span <= seconds(600):
            raise UsageError("span: 2 to 600 s")

    def runs(self) -> list["Run"]:
        """Return all runs, none of which has begun."""
        return [
            Run(kind=kind, cure=cure, harm=harm) for harm in self.harms for kind in self.kinds for cure in self.cures
        ]


class Attempt(msgspec.Struct, frozen=True):
    """A leader's write, as it reached the resource."""

    at_ns: int
    node: NodeId
    token: Token


class Run(msgspec.Struct, kw_only=True):
    """What happened between the beginning of a harm and its end."""

    kind: str
    cure: str
    harm: str
    begin_ns: int = 0
    end_ns: int = 0
    # In order of arrival.
    attempts: list[Attempt] = []
    # In order of death; killed by a leader.
    killed: list[NodeId] = []


class CureRow(msgspec.Struct, frozen=True, kw_only=True):
    """How one election fared with one cure under one harm. Times in seconds."""

    kind: str
    cure: str
    harm: str
    # Real processes, or simulated nodes.
    is_real: bool
    # While more than one leader wrote.
    both_span: float
    # The longest time in which the resource took no write.
    idle_span: float
    # Writes that the resource took from a leader although a newer one had written before, and those it refused.
    stale_count: int
    refused_count: int
    taken_count: int
    killed: tuple[NodeId, ...]


def election_config(kind: str, cure: str, node: NodeId) -> ElectionConfig:
    """Return the configuration of a node of an experiment."""
    assert kind in KINDS, "a kind of election"
    return ElectionConfig(node=node, nodes=NODES, quorum=cure.startswith("quorum"))


def row_of(run: Run, *, is_real: bool) -> CureRow:
    """Count what happened."""
    fenced, newest = FencedResource(), Token()
    has_token = run.cure.endswith("token")
    stale_count = refused_count = 0
    taken_at = [run.begin_ns]
    spans: dict[Token, tuple[int, int]] = {}
    for attempt in run.attempts:
        # What was written before tells who was newest; only what happens under the harm is counted.
        is_counted = run.begin_ns <= attempt.at_ns <= run.end_ns
        is_taken = fenced.write(attempt.token, b"") or not has_token
        if is_counted and is_taken:
            taken_at.append(attempt.at_ns)
            stale_count += attempt.token < newest
        elif is_counted:
            refused_count += 1
        newest = max(newest, attempt.token)
        if is_counted:
            first, _ = spans.get(attempt.token, (attempt.at_ns, 0))
            spans[attempt.token] = (first, attempt.at_ns)
    taken_count = len(taken_at) - 1
    taken_at.append(run.end_ns)
    idle_ns = max(after - before for before, after in pairwise(taken_at))
    return CureRow(
        kind=run.kind,
        cure=run.cure,
        harm=run.harm,
        is_real=is_real,
        both_span=_overlap_ns(list(spans.values())) / SECOND,
        idle_span=idle_ns / SECOND,
        stale_count=stale_count,
        refused_count=refused_count,
        taken_count=taken_count,
        killed=tuple(run.killed),
    )


def _overlap_ns(spans: Sequence[tuple[int, int]]) -> int:
    """Return for how long at least two of some spans of time held together."""
    edges = sorted([(first, 1) for first, _ in spans] + [(last, -1) for _, last in spans])
    total, count, since = 0, 0, 0
    for at, change in edges:
        if count > 1:
            total += at - since
        count, since = count + change, at
    return total
