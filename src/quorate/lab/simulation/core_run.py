"""One run at core level: Raft machines alone, under the same weather and aims; breadth instead of depth.

After every step the invariants of the group are checked over all machines that are alive. A tiny state machine of
registers and counters is driven through commitment and read barriers, and what its clients saw is judged.
"""

import time
from collections.abc import Callable
from random import Random

from quorate.check import check
from quorate.kernel import (
    MILLISECOND,
    SECOND,
    Effect,
    Event,
    Instant,
    NodeId,
    Output,
    Persist,
    Record,
    Send,
    marks,
    seconds,
)
from quorate.kernel import Call as MachineCall
from quorate.kernel.errors import TimedOut, Unreachable
from quorate.lab.recorder import Call, Recorder
from quorate.lab.simulation.aims import AIM_NAMES, Aimer
from quorate.lab.simulation.conditions import Conditions, draw_conditions
from quorate.lab.simulation.core_node import CoreNode
from quorate.lab.simulation.ending import conclude
from quorate.lab.simulation.options import Failed, Kind, Outcome, SimOptions
from quorate.lab.simulation.register_machine import Change, Reply, encode
from quorate.lab.simulation.run import CHECK_BUDGET, KEY_COUNT, OPERATIONS_PER_KEY_MAX
from quorate.lab.simulation.watch import traced
from quorate.lab.workload import Intent, Workload
from quorate.protocols.raft import (
    CONFIGURATION,
    MESSAGES,
    Append,
    ClusterHistory,
    Configuration,
    Entry,
    HardState,
    InstallSnapshot,
    InvariantBroken,
    Leader,
    Propose,
    Raft,
    RaftConfig,
    Read,
    Reconfigure,
    RoleChanged,
    SendSnapshot,
    SnapshotReceived,
    SnapshotSent,
    TimeoutNow,
    TransferLeadership,
    check_cluster,
)
from quorate.sim import CoreCluster, CoreHost, FaultSchedule, Nemesis, World, choose_quorum

PROGRESS_BOUND = seconds(20)
CALL_TIMEOUT_NS = 600 * MILLISECOND
_OPERATOR_TOKEN = 1 << 60


class CoreRun:
    """One run at core level; see the module."""

    def __init__(self, options: SimOptions, world: World, conditions: Conditions, *, is_traced: bool = False) -> None:
        self.options = options
        self._is_traced = is_traced
        self.world = world
        self.conditions = conditions
        self.recorder = Recorder(lambda: world.now)
        self.history = ClusterHistory()
        self.workload = Workload(
            world.choices.random("workload"), key_count=KEY_COUNT, operation_count_max=OPERATIONS_PER_KEY_MAX
        )
        self.broken: Failed | None = None
        # Index → what applying the entry there answered; the same everywhere, for ever.
        self.replies: dict[int, tuple[Entry, Reply]] = {}
        numbers = range(1, conditions.node_count + 1)
        self.founders = Configuration(tuple(NodeId(node) for node in numbers))
        self.nodes: dict[NodeId, CoreNode] = {}
        for node in self.founders.voters:
            self.nodes[node] = self._node(node)
        self.cluster = CoreCluster(world, self._make, list(numbers), codec=MESSAGES, on_deliver=self._on_deliver)
        self.cluster.after_step.append(self._after_step)
        self.nemesis = Nemesis(
            world, {int(node): host for node, host in self.cluster.hosts.items()}, atlas=conditions.atlas
        )
        self.aimer = Aimer(
            self.nemesis,
            {} if options.faults is not None else conditions.aims,
            nodes=list(self.nodes),
            leader=self._leader,
            dice=world.choices.stream("aims"),
        )
        if options.faults is not None:
            self.nemesis.follow(options.faults)
        elif conditions.has_random_faults:
            schedule = FaultSchedule.drawn(
                world.choices.stream("schedule"), list(numbers), options.time, conditions.mix
            )
            self.nemesis.follow(schedule)
        self._token = 0
        self._is_over = False
        self._boots: dict[NodeId, int] = {}
        self._was: dict[NodeId, tuple[str, int, int, int, int]] = {}

    # -- building -----------------------------------------------------------------------------------------------------

    def _node(self, node: NodeId) -> CoreNode:
        found = CoreNode(node, settle=self._settle, founders=self.founders)
        found.on_send = lambda output: self._send_snapshot(node, output)
        found.on_applied = lambda entry, reply: self._applied(node, entry, reply)
        return found

    def _make(self, node: NodeId, records: list[Record], rng: Random) -> Raft:
        conditions = self.conditions
        around = self.nodes[node]
        around.died()
        machine = Raft(
            RaftConfig(
                node=node,
                configuration=self.founders,
                election_timeout=300 * MILLISECOND,  # type: ignore[arg-type]
                heartbeat_interval=60 * MILLISECOND,  # type: ignore[arg-type]
                trailing_entry_count=conditions.trailing_entry_count,
                lease_reads=conditions.lease_reads,
                pre_vote=conditions.pre_vote,
                check_quorum=conditions.check_quorum,
                append_bytes_max=conditions.append_bytes_max,
                inflight_count_max=conditions.inflight_count_max,
            ),
            records,
            rng,
        )
        around.born(machine.log.snapshot.index)
        machine.step = self._watched(machine)  # type: ignore[method-assign]
        if self._is_traced:
            tell = lambda _node, text: self.world.trace(f"n{node}", text)  # noqa: E731  short and local
            machine.step = traced(machine, tell)  # type: ignore[method-assign]
        return machine

    # -- watching -----------------------------------------------------------------------------------------------------

    def _machines(self) -> list[Raft]:
        return [host.machine for host in self.cluster.hosts.values() if host.is_running]  # type: ignore[misc]

    def _leader(self) -> NodeId | None:
        leaders = [machine for machine in self._machines() if isinstance(machine.role, Leader)]
        return max(leaders, key=lambda machine: machine.term).node if leaders else None

    def _break(self, kind: Kind, sentence: str) -> None:
        if self.broken is None:
            self.broken = Failed(kind, sentence)
        raise self.broken

    def _after_step(self, host: CoreHost, _event: Event) -> None:
        machine = host.machine
        assert isinstance(machine, Raft), "this level runs Raft"
        now = (machine.role_name, machine.term, machine.commit_index, machine.log.last_index, machine.log.last_term)
        if self._was.get(host.node) != now:
            self._was[host.node] = now
            try:
                check_cluster(self._machines(), self.history)
            except InvariantBroken as cause:
                self._break("invariant", str(cause))

    def _applied(self, node: NodeId, entry: Entry, reply: Reply) -> None:
        known = self.replies.setdefault(entry.index, (entry, reply))
        if known != (entry, reply):
            self._break("divergence", f"node {node} applied {entry!r} → {reply!r}, another {known[0]!r} → {known[1]!r}")

    def _on_deliver(self, host: CoreHost, output: Output) -> None:
        self.nodes[host.node].take(host, output)
        match output:
            case RoleChanged(role) if role == "leader":
                self.aimer.happened("led", host.node)
            case InstallSnapshot():
                self.aimer.happened("install", host.node)
            case _:
                pass

    def _watched(self, machine: Raft) -> Callable[..., list[Effect]]:
        """Return the machine's step with eyes on what it writes."""
        inner, happened, node = machine.step, self.aimer.happened, machine.node

        def step(event: Event, *, now: Instant) -> list[Effect]:
            effects = inner(event, now=now)
            for effect in effects:
                if type(effect) is Persist:
                    is_leader = isinstance(machine.role, Leader)
                    for record in effect.records:
                        if isinstance(record, Append):
                            if is_leader and record.entries[-1].kind == CONFIGURATION:
                                happened("changed members", node)
                            happened("proposed" if is_leader else "took entries", node)
                        elif isinstance(record, HardState):
                            if record.voted_for is not None:
                                happened("voted", node)
                            if machine.voted_for not in {None, node}:
                                happened("granted", node)
                elif type(effect) is Send and type(effect.message) is TimeoutNow:
                    happened("handed over", node)
            return effects

        return step

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def _send_snapshot(self, node: NodeId, output: SendSnapshot) -> None:
        """Carry the newest checkpoint to a peer in one piece, which takes time and may be lost."""
        rest, host = self.nodes[node].rest, self.cluster.hosts[node]
        target = self.cluster.hosts[output.to]
        machine = host.machine
        assert isinstance(machine, Raft), "this level runs Raft"
        marker, state, term = rest.marker, rest.state.copy(), machine.term
        if marker is None:
            host.call(SnapshotSent(output.to, ok=False))
            return
        dice = self.world.choices.stream("snapshots", node)
        delay = dice.between(1, 60) * MILLISECOND
        is_lost = dice.chance(0.1)
        boots = (host.boot_count, target.boot_count)

        def arrive() -> None:
            is_cut = self.world.links.is_cut(host.number, target.number)
            is_here = not is_lost and not is_cut and target.is_running and target.boot_count == boots[1]
            if is_here:
                self.nodes[target.node].rest.staged[marker.index] = (marker, state)
                target.call(SnapshotReceived(node, marker, term))
            if host.is_running and host.boot_count == boots[0]:
                host.call(SnapshotSent(output.to, ok=is_here))

        self.world.at(self.world.now + delay, arrive)
        if dice.chance(0.2):
            # Sent again, because the sender did not hear of its end.
            self.world.at(self.world.now + delay + dice.between(1, 400) * MILLISECOND, arrive)

    def _checkpoints(self) -> None:
        for node, around in self.nodes.items():
            host = self.cluster.hosts[node]
            grown = around.state.applied_index - around.rest.state.applied_index
            if host.is_running and not host.is_paused and grown >= self.conditions.checkpoint_entry_count:
                self.aimer.happened("checkpoint", node)
                around.checkpoint(host)
        if not self._is_over:
            self.world.at(self.world.now + 50 * MILLISECOND, self._checkpoints)

    # -- clients ------------------------------------------------------------------------------------------------------

    def _client(self, number: int, rng: Random, targets: list[NodeId], stop_at: int) -> None:
        """One operation after another, each through a node of its own choice."""
        process = {"number": number}
        interval_ns = SECOND * self.conditions.worker_count // (2 * self.conditions.operations_per_second)

        def next_one() -> None:
            if self.world.now >= stop_at:
                return
            self._perform(process, number, self.workload.next(), targets[rng.randrange(len(targets))], again)

        def again(_call: Call) -> None:
            self.world.at(self.world.now + rng.randrange(1, 2 * interval_ns), next_one)

        self.world.at(self.world.now + rng.randrange(1, 2 * interval_ns), next_one)

    def _perform(
        self, process: dict[str, int], worker: int, intent: Intent, node: NodeId, then: Callable[[Call], None]
    ) -> None:
        recorder, host, around = self.recorder, self.cluster.hosts[node], self.nodes[node]
        call = recorder.invoke(process=process["number"], worker=worker, f=intent.f, key=intent.key, value=intent.value)
        self._token += 1
        token = self._token
        self._then[call.index] = (process, then)
        request: MachineCall
        if intent.f == "read":
            around.reads[token] = call
            request = Read(token)
        else:
            around.proposed[token] = call
            value = intent.value
            expected, new = value if isinstance(value, tuple) else (0, value or 0)
            change = Change(node, token, intent.f, intent.key, new, expected)  # type: ignore[arg-type]
            request = Propose((encode(change),), token)
        if not host.is_running:
            around.reads.pop(token, None)
            around.proposed.pop(token, None)
            self._settle(call, None, Unreachable("the node is down"))
            return
        self.world.at(self.world.now + CALL_TIMEOUT_NS, lambda: self._give_up(around, token, call))
        host.call(request)

    _then: dict[int, tuple[dict[str, int], Callable[[Call], None]]]

    def _give_up(self, around: CoreNode, token: int, call: Call) -> None:
        if call.outcome == "open":
            around.reads.pop(token, None)
            around.proposed.pop(token, None)
            around.ready = [pair for pair in around.ready if pair[1] is not call]
            is_read = call.f == "read"
            self._settle(call, None, Unreachable("no answer") if is_read else TimedOut("no answer"))

    def _settle(self, call: Call, result: Reply, error: Exception | None) -> None:
        process, then = self._then.pop(call.index)
        if error is None:
            self.recorder.ok(call, result)
            known = {"write": call.value, "read": result}.get(call.f)
            if isinstance(known, int) and not isinstance(known, bool):
                self.workload.learn(call.key, known)
        elif self.recorder.failed(call, error):
            process["number"] += 100
        then(call)

    # -- the operator -------------------------------------------------------------------------------------------------

    def _operate(self, rng: Random, stop_at: int) -> None:
        """Exchange members and hand over leadership, now and then."""

        def act() -> None:
            leader = self._leader()
            if leader is not None and self.world.now < stop_at:
                nodes = list(self.nodes)
                if rng.random() < 0.3:
                    self.cluster.hosts[leader].call(TransferLeadership(rng.choice(nodes), _OPERATOR_TOKEN))
                else:
                    voters = sorted(rng.sample(nodes, rng.randrange(max(1, len(nodes) - 2), len(nodes) + 1)))
                    learners = sorted(node for node in nodes if node not in voters and rng.random() < 0.5)
                    change = Reconfigure(tuple(voters), tuple(learners), _OPERATOR_TOKEN)
                    self.cluster.hosts[leader].call(change)
            if self.world.now < stop_at:
                self.world.at(self.world.now + rng.randrange(50, 2 * self.conditions.operator_ms) * MILLISECOND, act)

        self.world.at(self.world.now + 500 * MILLISECOND, act)

    # -- the run ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run both phases and judge; raise Failed, or what the world reports."""
        world, span = self.world, self.options.time
        self._then = {}
        self.cluster.start()
        self._checkpoints()
        for number in range(self.conditions.worker_count):
            self._client(number, world.choices.random("client", number), list(self.nodes), span)
        if self.conditions.has_operator:
            self._operate(world.choices.random("operator"), span)
        world.run_for(seconds(span / SECOND))
        self._second_phase()
        self._judge()

    def _second_phase(self) -> None:
        world = self.world
        self.aimer.is_stopped = True
        world.links.policy = type(world.links.policy)()
        kept = self._choose_kept()
        self.nemesis.mend(keep=[int(node) for node in kept])
        began_at = world.now
        self.workload.keys.append("counter-last")
        self._insist(kept, Intent("increment", "counter-last", 1), began_at)
        for place, key in enumerate(self.workload.keys):
            first = place % len(kept)
            self._insist(kept[first:] + kept[:first], Intent("read", key), began_at)
        world.run_for(2 * CALL_TIMEOUT_NS)  # type: ignore[arg-type]
        self._is_over = True

    def _choose_kept(self) -> list[NodeId]:
        """Return who lives on: a majority of the voters, in both halves of a change that is under way."""
        dice = self.world.choices.stream("quorum")
        alive = list(self.nodes)
        # Of the dead too: what was in force in their last life is in their log.
        configurations = {host.machine.configuration for host in self.cluster.hosts.values()}  # type: ignore[attr-defined]
        if configurations == {self.founders}:
            return [NodeId(node) for node in choose_quorum(alive, dice)]
        # Members are being exchanged, or somebody has not heard of it: all live.
        return alive

    def _insist(self, nodes: list[NodeId], intent: Intent, began_at: int) -> None:
        """Try through one node after another until it is done; raise Failed after the bound."""
        world = self.world
        process = {"number": 90 + int(nodes[0])}
        place = 0
        while True:
            done: list[Call] = []
            self._perform(process, 90, intent, nodes[place % len(nodes)], done.append)
            while not done:
                world.run_for(5 * MILLISECOND)  # type: ignore[arg-type]
            if done[0].outcome == "ok":
                return
            if world.now - began_at > PROGRESS_BOUND:
                raise Failed(
                    "no progress",
                    f"nodes {[int(node) for node in nodes]} are healthy, and {intent.f} {intent.key} was not served "
                    f"within {PROGRESS_BOUND / SECOND:.0f} s: {done[0].error}",
                )
            world.run_for(50 * MILLISECOND)  # type: ignore[arg-type]
            place += 1

    def _judge(self) -> None:
        finding = check(self.recorder.history(), "kv", budget=CHECK_BUDGET)
        if finding.verdict == "invalid":
            raise Failed("not linearizable", str(finding))
        if finding.verdict == "unknown":
            raise Failed("undecided", finding.explanation)


def run_core(options: SimOptions, fixed: dict[str, object] | None = None, *, trace: bool = False) -> Outcome:
    """Run one plan at core level and return what came of it; never raises for what the machines do.

    Args:
        options: of the run.
        fixed: conditions that are not drawn.
        trace: print one line per notable event to standard error.
    """
    began = time.process_time()
    marks.reset()
    world = World(options.seed, trace=trace)
    conditions = draw_conditions(world.choices, AIM_NAMES, dict(fixed or {}), options.node_count)
    world.links.policy, world.disk_policy = conditions.link, conditions.disk
    with world:
        run = CoreRun(options, world, conditions, is_traced=trace)
        return conclude(
            options,
            world,
            run.run,
            nemesis=run.nemesis,
            operations=run.recorder.outcomes,
            node_count=conditions.node_count,
            began=began,
            broken=lambda: run.broken,
        )
