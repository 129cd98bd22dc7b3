"""One run of the available side at core level: machines, clients, harm; then healing, and what must be true."""

import time
from random import Random

import msgspec

from quorate.kernel import MILLISECOND, SECOND, Event, NodeId, Output, Record, marks, seconds
from quorate.lab.simulation.available.clients import CALL_TIMEOUT_NS, OUTSIDER, Clients, wall_ns
from quorate.lab.simulation.available.conditions import AvailableConditions, draw_available
from quorate.lab.simulation.available.oracle import Oracle
from quorate.lab.simulation.ending import conclude
from quorate.lab.simulation.options import Failed, Outcome, SimOptions
from quorate.lab.simulation.watch import traced
from quorate.protocols.anti_entropy import AntiEntropyConfig
from quorate.protocols.leaderless import (
    Answered,
    CellChanged,
    LeaderlessConfig,
    Place,
    Preferences,
    Reconfigure,
    Request,
    Tick,
    canonical,
    rule_named,
    topology_of,
)
from quorate.protocols.leaderless import Failed as Refusal
from quorate.protocols.swim import ALIVE, InvariantBroken, MemberHistory, check_members
from quorate.replication import AVAILABLE_MESSAGES, Available, AvailableConfig
from quorate.sim import (
    CoreCluster,
    CoreHost,
    Crash,
    FaultSchedule,
    Nemesis,
    Planned,
    Restart,
    World,
)

PROGRESS_BOUND = seconds(30)
CONVERGENCE_BOUND = seconds(120)
# Wall clocks of a run without skew still differ by drift; with it, by jumps one after another.
JUMPS_MAX = 12


class AvailableRun:
    """One run; see the module."""

    def __init__(
        self, options: SimOptions, world: World, conditions: AvailableConditions, *, is_traced: bool = False
    ) -> None:
        self.options = options
        self.world = world
        self.conditions = conditions
        self._is_traced = is_traced
        self.rule = rule_named(conditions.conflicts)
        repairs_for_good = conditions.read_repair == "blocking" and conditions.read_level != "ONE"
        self.oracle = Oracle(
            self.rule,
            is_strict=conditions.is_strict,
            is_monotonic=repairs_for_good,
            grace_ms=conditions.grace // MILLISECOND,
            slack_ms=(2 * JUMPS_MAX * conditions.jump_max) // MILLISECOND + 50,
        )
        numbers = list(range(1, conditions.node_count + 1))
        self.nodes = [NodeId(node) for node in numbers]
        places = {node: _place(node, conditions.datacenter_count) for node in self.nodes}
        self.topology = topology_of(self.nodes, replica_count=conditions.replica_count, places=places)
        self.cluster = CoreCluster(
            world,
            self._make,
            numbers,
            codec=AVAILABLE_MESSAGES,
            on_deliver=self._on_deliver,
            compact=canonical,
            compact_above=400,
        )
        self.clients = Clients(world, conditions, self.oracle, Preferences(self.topology), lambda: self.cluster.hosts)
        self._is_over = False
        self._member_history = MemberHistory()
        if conditions.has_membership:
            self.cluster.after_step.append(self._check_members)
        self.nemesis = Nemesis(
            world, {int(node): host for node, host in self.cluster.hosts.items()}, atlas=conditions.atlas
        )
        if options.faults is not None:
            self.nemesis.follow(options.faults)
            return
        if conditions.has_outsider:
            self.nemesis.follow(self._absences())
        if conditions.has_random_faults:
            span = options.time - conditions.calm
            schedule = FaultSchedule.drawn(
                world.choices.stream("schedule"), numbers, seconds(span / SECOND), conditions.mix
            )
            self.nemesis.follow(schedule)

    def _absences(self) -> FaultSchedule:
        """Return the times of the outsider's absence, each longer than the grace."""
        dice = self.world.choices.stream("outsider")
        items: list[Planned] = []
        at = dice.between(SECOND, 3 * SECOND)
        while at < self.options.time:
            back_at = at + (self.conditions.absence or self.conditions.grace) + dice.between(SECOND // 2, 2 * SECOND)
            items += [Planned(at, Crash(int(OUTSIDER))), Planned(back_at, Restart(int(OUTSIDER)))]
            at = back_at + dice.between(SECOND // 2, 2 * SECOND)
        return FaultSchedule(tuple(items))

    # -- building -----------------------------------------------------------------------------------------------------

    def _make(self, node: NodeId, records: list[Record], rng: Random) -> Available:
        machine = Available(self._config(node), records, rng, rule=self.rule)
        if self._is_traced:
            tell = lambda _node, text: self.world.trace(f"n{node}", text)  # noqa: E731  short and local
            machine.step = traced(machine, tell)  # type: ignore[method-assign, arg-type]
        return machine

    def _config(self, node: NodeId) -> AvailableConfig:
        conditions = self.conditions
        return AvailableConfig(
            leaderless=LeaderlessConfig(
                node=node,
                topology=self.topology,
                read_level=conditions.read_level,
                write_level=conditions.write_level,
                sloppy=conditions.sloppy,
                read_repair=conditions.read_repair,
                digest_reads=conditions.digest_reads,
                request_timeout=seconds(1),
                hint_delay=seconds(0.3),
                hint_window=conditions.hint_window,
                hint_count_max=100_000 if conditions.has_hints else 0,
                purge=conditions.purge,
                tombstone_grace=conditions.grace,
                stream_part_count=4,
            ),
            swim="local" if conditions.has_membership else None,
            swim_fields=conditions.swim_fields,
            anti_entropy=AntiEntropyConfig(node=node, cycle=seconds(3)) if conditions.has_anti_entropy else None,
        )

    # -- what machines say --------------------------------------------------------------------------------------------

    def _on_deliver(self, host: CoreHost, output: Output) -> None:
        if isinstance(output, Answered | Refusal):
            self.clients.take(host, output)
        elif isinstance(output, CellChanged):
            self.oracle.held(output.key, output.after)

    def _tick(self) -> None:
        for host in self.cluster.hosts.values():
            if host.is_running:
                host.call(Tick(wall_ns(host)))
                if self.topology.version > 1:
                    host.call(Reconfigure(self.topology))
        if not self._is_over:
            self.world.at(self.world.now + SECOND, self._tick)

    def _operate(self, rng: Random, stop_at: int) -> None:
        """Take a node out of the topology, or bring it back, now and then."""

        def act() -> None:
            if self.world.now >= stop_at:
                return
            present = list(self.topology.nodes())
            absent = [node for node in self.nodes if node not in present]
            coming: list[NodeId] = []
            going: list[NodeId] = []
            if absent and rng.random() < 0.6:
                coming = [rng.choice(absent)]
            elif len(present) > self.conditions.replica_count:
                going = [rng.choice(present)]
            if (coming or going) and self._is_settled():
                self.topology = self.topology.with_nodes([_place(node, 1) for node in coming], going)
                for host in self.cluster.hosts.values():
                    host.call(Reconfigure(self.topology))
            self.world.at(self.world.now + rng.randrange(500, 4_000) * MILLISECOND, act)

        self.world.at(self.world.now + rng.randrange(500, 3_000) * MILLISECOND, act)

    def _is_settled(self) -> bool:
        version = self.topology.version
        return all(
            self.cluster.hosts[node].is_running and self._machine(node).leaderless.topology.version >= version
            for node in self.nodes
        )

    # -- the run ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run all phases; raise Failed, or what the world reports."""
        world, span, conditions = self.world, self.options.time, self.conditions
        self.cluster.start()
        self._tick()
        for number in range(conditions.worker_count):
            self.clients.work(number, world.choices.random("client", number), self.nodes, span)
        if conditions.has_movement:
            self._operate(world.choices.random("operator"), span)
        world.run_for(seconds(span / SECOND))
        world.links.policy = type(world.links.policy)()
        self.nemesis.mend()
        self._prove_progress()
        world.run_for(seconds(CALL_TIMEOUT_NS / SECOND))
        self._prove_convergence()
        if conditions.has_membership:
            self._prove_membership()
        self._is_over = True

    def _prove_progress(self) -> None:
        """With every node up and every link healed, every key can be read within a bound."""
        began_at = self.world.now
        for place, key in enumerate(self.clients.keys):
            while True:
                answers: list[bytes | None] = []
                node = self.topology.nodes()[place % len(self.topology.places)]
                self.clients.ask(node, Request(0, key, None, "QUORUM"), answers.append, floor=b"")
                while not answers:
                    self.world.run_for(seconds(0.005))
                if answers[0] is not None:
                    break
                if self.world.now - began_at > PROGRESS_BOUND:
                    raise Failed("no progress", f"all nodes are up, and key {key!r} cannot be read at QUORUM")
                self.world.run_for(seconds(0.05))

    def _prove_convergence(self) -> None:
        """Without further writes all owners come to hold the same, and no hint is left."""
        deadline = self.world.now + CONVERGENCE_BOUND
        while self.world.now < deadline and not self._is_quiet():
            if not self.conditions.has_anti_entropy:
                for key in self.clients.keys:
                    self.clients.ask(self.topology.nodes()[0], Request(0, key, None, "ALL"), _nothing)
            self.world.run_for(seconds(0.5))
        if self.topology.version > 1 and not self._is_settled():
            raise Failed("no progress", f"the movement to topology {self.topology.version} does not end")
        preferences = Preferences(self.topology)
        now_ms = max(wall_ns(host) for host in self.cluster.hosts.values()) // MILLISECOND
        for key in self.clients.keys:
            self.oracle.judge_end(key, {int(node): self._cell(node, key) for node in preferences.owners(key)}, now_ms)
        left = {int(node): count for node in self.nodes if (count := self._hint_count(node))}
        if left:
            raise Failed("no convergence", f"hints are left at the end: {left}")

    def _prove_membership(self) -> None:
        """With every node up and every link healed, every node believes every other one alive."""
        deadline = self.world.now + CONVERGENCE_BOUND
        while wrong := self._wrong_beliefs():
            if self.world.now >= deadline:
                raise Failed("no convergence", f"all nodes are up, and still {'; '.join(wrong)}")
            self.world.run_for(seconds(0.5))

    def _wrong_beliefs(self) -> list[str]:
        nodes = self.topology.nodes()
        return [
            f"n{node} believes n{member.node} {member.status_name}"
            for node in nodes
            if (swim := self._machine(node).swim) is not None
            for member in swim.members
            if member.status != ALIVE and member.node in nodes
        ]

    def _check_members(self, host: CoreHost, _event: Event) -> None:
        swim = self._machine(host.node).swim
        if swim is not None:
            try:
                check_members(swim, self._member_history)
            except InvariantBroken as cause:
                raise Failed("invariant", str(cause)) from cause

    def _is_quiet(self) -> bool:
        preferences = Preferences(self.topology)
        if self.topology.version > 1 and not self._is_settled():
            return False
        if any(map(self._hint_count, self.nodes)):
            return False
        return all(
            len(dict.fromkeys(self._cell(node, key) for node in preferences.owners(key))) == 1
            for key in self.clients.keys
        )

    def _cell(self, node: NodeId, key: bytes) -> bytes:
        return self._machine(node).leaderless.cells.get(key, b"")

    def _hint_count(self, node: NodeId) -> int:
        return sum(map(len, self._machine(node).leaderless.hints.values()))

    def _machine(self, node: NodeId) -> Available:
        machine = self.cluster.hosts[node].machine
        assert isinstance(machine, Available), "this level runs leaderless keyspaces"
        return machine


def _place(node: NodeId, datacenter_count: int) -> Place:
    """Return where a node stands: data centres in turn, and in each three zones in turn."""
    return Place(node, f"dc{node % datacenter_count}", f"zone{node // datacenter_count % 3}")


def _nothing(_cell: bytes | None) -> None:
    """Want no more than the repair that a read does."""


def run_available(options: SimOptions, fixed: dict[str, object] | None = None, *, trace: bool = False) -> Outcome:
    """Run one plan on the available side and return what came of it; never raises for what the machines do.

    Args:
        options: of the run.
        fixed: conditions that are not drawn.
        trace: print one line per notable event to standard error.
    """
    began = time.process_time()
    marks.reset()
    world = World(options.seed, trace=trace)
    conditions = draw_available(world.choices, dict(fixed or {}), options.node_count)
    if not conditions.has_anti_entropy and conditions.read_repair == "none":
        conditions = msgspec.structs.replace(conditions, has_anti_entropy=True)
    world.links.policy, world.disk_policy = conditions.link, conditions.disk
    with world:
        run = AvailableRun(options, world, conditions, is_traced=trace)
        return conclude(
            options,
            world,
            run.run,
            nemesis=run.nemesis,
            operations=run.clients.outcomes,
            node_count=conditions.node_count,
            began=began,
        )
