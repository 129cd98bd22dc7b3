"""Faults that wait for their moment: harm done just after a promise was made, where bugs of memory live.

A moment is something that a node did (it wrote a vote, it put an entry into its log, it began a checkpoint). An aim
says what harm may follow within a few milliseconds. The harm is planned in the world's time, not done inside the node's
own step, so that the schedule of what was applied replays the run.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from quorate.kernel import MILLISECOND, Duration, NodeId
from quorate.sim import Clog, Crash, Fault, Heal, Nemesis, Partition, Pause, Planned, Restart, Skew, Stream, Tear

Plan = list[Planned]
"""Faults with their time after the moment, ns."""

# Long enough for a sync and an answer, short enough to come before much else.
SOON_NS: Final = 4 * MILLISECOND


class Scene(msgspec.Struct):
    """What an aim knows when its moment has come."""

    node: NodeId
    nodes: list[NodeId]
    leader: NodeId | None
    drift_ppb_max: int


def _soon(dice: Stream) -> int:
    # Half at once, before anything is stable; half around the sync and the answer.
    return 1 + (dice.between(0, SOON_NS) if dice.chance(0.6) else dice.between(0, MILLISECOND // 4))


def _tear(scene: Scene, dice: Stream) -> Plan:
    at = _soon(dice)
    return [Planned(at, Tear(scene.node)), Planned(at + dice.between(5, 600) * MILLISECOND, Restart(scene.node))]


def _crash(scene: Scene, dice: Stream) -> Plan:
    at = _soon(dice)
    return [Planned(at, Crash(scene.node)), Planned(at + dice.between(5, 600) * MILLISECOND, Restart(scene.node))]


def isolation(node: NodeId, nodes: list[NodeId]) -> Partition:
    """Return the partition that cuts one node off from all others, both ways."""
    cuts = [pair for other in nodes if other != node for pair in ((node, other), (other, node))]
    return Partition("isolate", tuple((int(a), int(b)) for a, b in cuts))


def _isolate(scene: Scene, dice: Stream) -> Plan:
    at = _soon(dice)
    return [
        Planned(at, isolation(scene.node, scene.nodes)),
        Planned(at + dice.between(700, 2_500) * MILLISECOND, Heal()),
    ]


def _isolate_with_one(scene: Scene, dice: Stream) -> Plan:
    """Cut the node off together with one other, or alone where there are three."""
    others = [node for node in scene.nodes if node != scene.node]
    side = [scene.node, others[dice.below(len(others))]] if len(scene.nodes) > 3 else [scene.node]
    rest = [node for node in scene.nodes if node not in side]
    cuts = tuple((int(x), int(y)) for a in side for b in rest for x, y in ((a, b), (b, a)))
    at = _soon(dice)
    return [Planned(at, Partition("minority", cuts)), Planned(at + dice.between(700, 2_500) * MILLISECOND, Heal())]


def _pause(scene: Scene, dice: Stream) -> Plan:
    return [Planned(_soon(dice), Pause(scene.node, Duration(dice.between(600, 2_000) * MILLISECOND)))]


def _tear_and_isolate_leader(scene: Scene, dice: Stream) -> Plan:
    """A follower loses power after it took an entry; the leader is cut off before it can send it again."""
    if scene.leader is None or scene.leader == scene.node:
        return []
    at, back = _soon(dice), dice.between(5, 60) * MILLISECOND
    return [
        Planned(at, Tear(scene.node)),
        Planned(at + back // 2, isolation(scene.leader, scene.nodes)),
        Planned(at + back, Restart(scene.node)),
        Planned(at + back + dice.between(1_500, 3_000) * MILLISECOND, Heal()),
    ]


def _blackout(scene: Scene, dice: Stream) -> Plan:
    """Everybody loses power at nearly the same moment."""
    at = _soon(dice)
    plan = [Planned(at + dice.between(0, MILLISECOND), Tear(node)) for node in scene.nodes]
    return plan + [Planned(at + dice.between(5, 300) * MILLISECOND, Restart(node)) for node in scene.nodes]


def _revolt(scene: Scene, dice: Stream) -> Plan:
    """A voter restarts while the candidate that it voted for is cut off: another election comes in the same term."""
    others = [node for node in scene.nodes if node != scene.node]
    lucky = others[dice.below(len(others))]
    at = _soon(dice)
    return [
        Planned(at, Tear(scene.node)),
        Planned(at + MILLISECOND, isolation(lucky, scene.nodes)),
        Planned(at + dice.between(5, 40) * MILLISECOND, Restart(scene.node)),
        Planned(at + dice.between(40, 900) * MILLISECOND, Heal()),
    ]


def _forget(scene: Scene, dice: Stream) -> Plan:
    """A voter loses power when its vote has left, and is back before another candidate's request arrives."""
    at = dice.between(1, 8) * MILLISECOND
    return [Planned(at, Tear(scene.node)), Planned(at + dice.between(1, 4) * MILLISECOND, Restart(scene.node))]


def _clog_and_isolate(scene: Scene, dice: Stream) -> Plan:
    """The leader's links become slow, and then it is cut off: what it hears is old."""
    latency = Duration(dice.between(40, 110) * MILLISECOND)
    span = Duration(2_000 * MILLISECOND)
    at = dice.between(200, 900) * MILLISECOND
    return [
        Planned(1, Clog(scene.node, latency, 0.0, span)),
        Planned(at, isolation(scene.node, scene.nodes)),
        Planned(at + dice.between(700, 2_000) * MILLISECOND, Heal()),
    ]


def _skew(scene: Scene, dice: Stream) -> Plan:
    most = scene.drift_ppb_max
    return [Planned(_soon(dice), Skew(scene.node, -most if dice.chance(0.7) else most, Duration(0)))]


def _skew_and_isolate(scene: Scene, dice: Stream) -> Plan:
    """The leader's clock runs slowly, and it is cut off: a lease that it measures is too long."""
    return [
        Planned(1, Skew(scene.node, -scene.drift_ppb_max, Duration(0))),
        *(Planned(1, Skew(node, scene.drift_ppb_max, Duration(0))) for node in scene.nodes if node != scene.node),
        *_isolate(scene, dice),
    ]


def _isolate_long_with_one(scene: Scene, dice: Stream) -> Plan:
    """Cut the node off together with one other, long enough for others to elect and go on."""
    cut = _isolate_with_one(scene, dice)[0]
    return [cut, Planned(cut.at + 3_000 * MILLISECOND, Heal())]


def _leave_with_one(scene: Scene, dice: Stream) -> Plan:
    """Mend what is cut, and leave the node with one other, who has not heard much yet either."""
    cut = _isolate_with_one(scene, dice)[0]
    return [Planned(cut.at // 8 + 1, Heal()), Planned(cut.at // 8 + 2, cut.fault)]


class AimKind(msgspec.Struct, frozen=True):
    """What harm follows which moment."""

    name: str
    moment: str
    plan: Callable[[Scene, Stream], Plan]
    # What follows when another node leads while that harm lasts.
    sequel: Callable[[Scene, Stream], Plan] | None = None


AIMS: Final = (
    AimKind("cut the power of a voter", "voted", _tear),
    AimKind("crash a voter", "voted", _crash),
    AimKind("cut a voter, then its candidate", "voted", _revolt),
    AimKind("restart a voter at once", "granted", _forget),
    AimKind("isolate a leader that changes members", "changed members", _isolate),
    AimKind("isolate a leader that changes members with one other", "changed members", _isolate_with_one),
    AimKind("split twice around a change of members", "changed members", _isolate_long_with_one, _leave_with_one),
    AimKind("isolate a leader that hands over", "handed over", _isolate),
    AimKind("clog and isolate the leader", "proposed", _clog_and_isolate),
    AimKind("cut the power of a proposing leader", "proposed", _tear),
    AimKind("crash a proposing leader", "proposed", _crash),
    AimKind("isolate a proposing leader", "proposed", _isolate),
    AimKind("isolate a proposing leader with one other", "proposed", _isolate_with_one),
    AimKind("pause a proposing leader", "proposed", _pause),
    AimKind("cut the power of a follower that takes entries", "took entries", _tear),
    AimKind("cut a follower, then isolate the leader", "took entries", _tear_and_isolate_leader),
    AimKind("black out", "took entries", _blackout),
    AimKind("isolate a new leader", "led", _isolate),
    AimKind("cut the power of a new leader", "led", _tear),
    AimKind("cut the power during a checkpoint", "checkpoint", _tear),
    AimKind("crash during a checkpoint", "checkpoint", _crash),
    AimKind("cut the power during an installation", "install", _tear),
    AimKind("skew the leader", "led", _skew),
    AimKind("skew and isolate the leader", "proposed", _skew_and_isolate),
)
"""All aims; a run draws which of them are awake."""

AIM_NAMES: Final = tuple(aim.name for aim in AIMS)


class Aimer:
    """Hears of moments and plans harm.

    Args:
        nemesis: does it, and refuses what the protocol does not promise to survive.
        shares: aim → share of its moments that are used.
        leader: tells who leads.
        dice: the source of every choice.
    """

    def __init__(
        self,
        nemesis: Nemesis,
        shares: dict[str, float],
        *,
        nodes: list[NodeId],
        leader: Callable[[], NodeId | None],
        dice: Stream,
    ) -> None:
        self.is_stopped = False
        self._nemesis = nemesis
        self._nodes = nodes
        self._leader = leader
        self._dice = dice
        self._awake: dict[str, list[tuple[AimKind, float]]] = {}
        for aim in AIMS:
            if shares.get(aim.name, 0.0) > 0:
                self._awake.setdefault(aim.moment, []).append((aim, shares[aim.name]))
        self._ready_at = 0
        # The sequel that waits for another leader: its plan, whose fall began it, and until when.
        self._sequel: tuple[Callable[[Scene, Stream], Plan], NodeId, int] | None = None

    def happened(self, moment: str, node: NodeId) -> None:
        """Note that a node did something; maybe harm follows."""
        awake = self._awake.get(moment)
        world = self._nemesis.world
        if moment == "led" and self._sequel is not None and not self.is_stopped:
            sequel, first, until = self._sequel
            if node != first and world.now < until:
                self._sequel = None
                for item in sequel(self._scene(node), self._dice):
                    self._plan(world.now + item.at, item.fault)
                return
        if awake is None or self.is_stopped or world.now < self._ready_at:
            return
        for aim, share in awake:
            # A moment that comes hundreds of times a second needs far fewer uses.
            if not self._dice.chance(share * _RARITY.get(moment, 1.0)):
                continue
            plan = aim.plan(self._scene(node), self._dice)
            if plan:
                self._nemesis.counts[f"aim: {aim.name}"] += 1
                self._ready_at = world.now + plan[-1].at + 100 * MILLISECOND
                for item in plan:
                    self._plan(world.now + item.at, item.fault)
                if aim.sequel is not None:
                    self._sequel = (aim.sequel, node, world.now + plan[-1].at)
                return

    def _scene(self, node: NodeId) -> Scene:
        return Scene(node, self._nodes, self._leader(), self._nemesis.atlas.drift_ppb_max)

    def _plan(self, at: int, fault: Fault) -> None:
        def strike() -> None:
            if not self.is_stopped:
                self._nemesis.apply(fault)

        self._nemesis.world.at(at, strike)


_RARITY: Final = {"proposed": 0.1, "took entries": 0.06}
