"""The nemesis: carries out planned and aimed faults, within what the protocol promises to survive."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, assert_never

import msgspec

from quorate.kernel import Duration, seconds
from quorate.sim.faults import (
    Clog,
    Crash,
    Fault,
    Heal,
    Partition,
    Pause,
    Planned,
    Restart,
    Rot,
    Skew,
    Stall,
    Tear,
    Wipe,
    kind_of,
)
from quorate.sim.host import Host
from quorate.sim.links import LinkPolicy
from quorate.sim.world import World


class Target(Protocol):
    """A node that can be harmed: a host of the loop level or of the core level."""

    @property
    def number(self) -> int:
        """The host's number in the world."""

    @property
    def is_running(self) -> bool:
        """Whether a process is alive."""

    @property
    def is_paused(self) -> bool:
        """Whether it is stopped."""

    def crash(self) -> None:
        """End the process."""

    def power_cut(self) -> None:
        """Cut the power."""

    def wipe(self) -> None:
        """Cut the power and lose the disk."""

    def restart(self) -> object:
        """Start again."""

    def pause(self) -> None:
        """Stop the process."""

    def resume(self) -> None:
        """Let it go on."""


class Atlas(msgspec.Struct, frozen=True, kw_only=True):
    """What a protocol promises to survive; the nemesis does no more than that.

    Fields:
        down_max: nodes that are down or paused at one time (f of 2f + 1). Partitions are never limited: they may cost
            availability, not safety.
        damaged_max: nodes whose files were ever damaged or lost: a good copy of everything remains elsewhere.
        drift_ppb_max: how far from true any clock's rate may be.
        jump_max: how far a wall clock may jump.
    """

    down_max: int
    damaged_max: int = 0
    drift_ppb_max: int = 200_000
    jump_max: Duration = seconds(3600)


class Aim(msgspec.Struct, kw_only=True):
    """A fault that waits for its moment.

    Fields:
        name: for the trace and the counts.
        condition: looks at the system (the caller closes over it); returns the fault to do now, or None.
        share: of the moments that the condition finds, how many are used.
        restart_after: after a crash or power cut, the pause until the node starts again, uniformly up to this.
        cooldown: least time between two uses.
    """

    name: str
    condition: Callable[[], Fault | None]
    share: float = 0.5
    restart_after: Duration = seconds(2)
    cooldown: Duration = seconds(1)
    ready_at: int = 0


class Nemesis:
    """Harms nodes on purpose; keeps what it did as a schedule that replays without the aims."""

    def __init__(self, world: World, targets: Mapping[int, Target], *, atlas: Atlas) -> None:
        self.world = world
        self.targets = dict(targets)
        self.atlas = atlas
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.applied: list[Planned] = []
        self.aims: list[Aim] = []
        self.is_stopped = False
        self._began_at = world.now
        self._dice = world.choices.stream("nemesis")
        self._damaged: dict[int, None] = {}
        self._clogs: dict[int, int] = {}

    # -- plans ------------------------------------------------------------------------------------------------------

    def follow(self, items: Iterable[Planned]) -> None:
        """Carry out a schedule, from now on."""
        began_at = self.world.now
        for item in items:
            self.world.at(began_at + item.at, lambda fault=item.fault: self._planned(fault))  # type: ignore[misc]

    def _planned(self, fault: Fault) -> None:
        if not self.is_stopped:
            self.apply(fault)

    def aim(self, aim: Aim, *, period: Duration | None = None) -> None:
        """Watch for a moment: at every `consider`, and every period when one is given."""
        self.aims.append(aim)
        if period is not None:
            self._watch(aim, period)

    def _watch(self, aim: Aim, period: Duration) -> None:
        if not self.is_stopped:
            self._consider(aim)
            self.world.at(self.world.now + period, lambda: self._watch(aim, period))

    def consider(self, *_: object) -> None:
        """Look whether an aim's moment has come; fit for `CoreCluster.after_step`."""
        if not self.is_stopped:
            for aim in self.aims:
                self._consider(aim)

    def _consider(self, aim: Aim) -> None:
        if self.world.now < aim.ready_at:
            return
        fault = aim.condition()
        if fault is None or not self._dice.chance(aim.share):
            return
        if self.apply(fault):
            self.counts[f"aim: {aim.name}"] += 1
            aim.ready_at = self.world.now + aim.cooldown
            if isinstance(fault, Crash | Tear | Wipe):
                after = self._dice.between(0, aim.restart_after)
                restart = Restart(fault.node)
                self.world.at(self.world.now + after, lambda: self._planned(restart))

    def stop(self) -> None:
        """Do no more harm; what was done stays until it is mended."""
        self.is_stopped = True

    # -- permission -------------------------------------------------------------------------------------------------

    def down(self) -> list[int]:
        """Return the nodes that are down or paused."""
        return [node for node, target in self.targets.items() if not target.is_running or target.is_paused]

    def permits(self, fault: Fault) -> bool:
        """Return whether the protocol promises to survive this now."""
        match fault:
            case Crash(node) | Tear(node) | Pause(node):
                target = self.targets[node]
                return target.is_running and (target.is_paused or len(self.down()) < self.atlas.down_max)
            case Restart(node):
                return not self.targets[node].is_running
            case Wipe(node):
                return self.targets[node].is_running and self._may_damage(node)
            case Rot(node):
                return self._may_damage(node)
            case Skew(_, drift_ppb, jump):
                return abs(drift_ppb) <= self.atlas.drift_ppb_max and abs(jump) <= self.atlas.jump_max
            case Partition() | Clog() | Stall() | Heal():
                return True
            case _:
                assert_never(fault)

    def _may_damage(self, node: int) -> bool:
        return node in self._damaged or len(self._damaged) < self.atlas.damaged_max

    # -- deeds ------------------------------------------------------------------------------------------------------

    def apply(self, fault: Fault) -> bool:
        """Do it now, if the atlas permits; return whether it was done."""
        name = kind_of(fault)
        if not self.permits(fault):
            self.refused[name] += 1
            return False
        self.counts[name] += 1
        self.applied.append(Planned(self.world.now - self._began_at, fault))
        self.world.trace("nemesis", str(fault))
        match fault:
            case Crash(node):
                self.targets[node].crash()
            case Tear(node):
                self.targets[node].power_cut()
            case Wipe(node):
                self.targets[node].wipe()
                self._damaged[node] = None
            case Restart(node):
                self.targets[node].restart()
            case Pause(node, span):
                target = self.targets[node]
                target.pause()
                self.world.at(self.world.now + span, target.resume)
            case Partition(_, cuts):
                for source, to in cuts:
                    self.world.partitions.cut(self.targets[source].number, self.targets[to].number)
            case Heal():
                self.world.partitions.heal()
            case _:
                self._apply_to_machine(fault)
        return True

    def _apply_to_machine(self, fault: Clog | Skew | Rot | Stall) -> None:
        host = self._host(fault.node)
        match fault:
            case Clog(_, latency, lose, span):
                self._clog(host.number, latency, lose, span)
            case Skew(_, drift_ppb, jump):
                host.set_drift(drift_ppb)
                host.jump_wall(jump)
            case Rot(node, prefix):
                if host.disk.rot(prefix) is not None:
                    self._damaged[node] = None
            case Stall(_, span):
                host.disk.stalled_until = self.world.now + span
            case _:
                assert_never(fault)

    def _host(self, node: int) -> Host:
        number = self.targets[node].number
        return self.world.hosts[number - 1]

    def _clog(self, number: int, latency: Duration, lose: float, span: Duration) -> None:
        links = self.world.links
        policy: LinkPolicy = msgspec.structs.replace(links.policy, latency=latency, jitter=latency, lose=lose)
        for target in self.targets.values():
            if target.number != number:
                links.policies[number, target.number] = links.policies[target.number, number] = policy
        until = self.world.now + span
        self._clogs[number] = until
        self.world.at(until, lambda: self._unclog(number, until))

    def _unclog(self, number: int, until: int) -> None:
        # A later clog of the same node has its own end.
        if self._clogs.get(number) == until:
            del self._clogs[number]
            links = self.world.links
            links.policies = {pair: policy for pair, policy in links.policies.items() if number not in pair}

    def mend(self, *, keep: Iterable[int] | None = None) -> None:
        """Stop, heal every link and disk, and let run whom to keep (default: all); the rest stays dead for ever."""
        self.stop()
        kept = list(self.targets) if keep is None else list(keep)
        self.world.partitions.heal()
        self.world.links.policies.clear()
        for node, target in self.targets.items():
            host = self._host(node)
            host.disk.stalled_until = 0
            host.disk.is_failing = False
            if node not in kept:
                if target.is_running:
                    target.power_cut()
            elif not target.is_running:
                target.restart()
            else:
                target.resume()
