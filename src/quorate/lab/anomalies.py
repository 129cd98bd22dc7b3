"""A minimal simulated history that shows why a declaration was refused: the same machine, quorums and rule.

Scripts of a few client calls on one key are drawn and run on simulated nodes with drawn delays, until a checker refutes
what was declared. Then calls are taken out as long as it still does; of several histories the shortest is shown.
"""

from collections.abc import Sequence
from random import Random
from typing import Any, Final, Literal

import msgspec

from quorate.check import NEVER, Finding, Operation, check
from quorate.kernel import MILLISECOND, Duration, NodeId, Output, Record, milliseconds
from quorate.kernel.errors import QuorateError
from quorate.protocols.leaderless import (
    Answered,
    Batch,
    Failed,
    Leaderless,
    LeaderlessConfig,
    PeerDown,
    Put,
    Request,
    Tick,
    canonical,
    rule_named,
)
from quorate.server import Keyspace, first_topology, machine_config
from quorate.sim import CoreCluster, CoreHost, LinkPolicy, World

SHOWN: Final = ("stale read", "swallowed write", "lost update", "lost write")
"""Anomalies that a run can show; a resurrection needs days of clocks and is told in words."""

_KEY: Final = b"x"
_WARM_UP: Final = milliseconds(5)
_SPAN: Final = milliseconds(600)
_SEED_COUNT: Final = 400
_CALL_COUNT: Final = 8

_SKEW_MS: Final = 200
_DELAYS_MS: Final = (1, 3, 10, 40, 90)
_FOUND_COUNT: Final = 12
"""So many histories are made small before the smallest is taken."""

_SMALL_COUNT: Final = 2
_NODE_COUNT_MAX: Final = 7

Kind = Literal["write", "read", "update", "crash", "split"]


class Step(msgspec.Struct, frozen=True):
    """One call of a client through one node; or what happens to it: a power cut, the loss of links to those above."""

    at_ms: int
    kind: Kind
    node: int
    client: int
    value: int


class Shown(msgspec.Struct):
    """What a run showed."""

    seed: int
    steps: list[Step]
    lines: list[str]
    finding: Finding


def show_anomaly(keyspace: Keyspace, anomaly: str, *, node_count: int = 3) -> Shown | None:
    """Return the smallest history that was found, None when none was (or the anomaly is not one that runs can show).

    Args:
        keyspace: as declared.
        anomaly: one of `SHOWN`.
        node_count: nodes that hold it.

    Complexity: a few milliseconds for each of at most 400 seeds.
    """
    if anomaly not in SHOWN:
        return None
    # Bounds that contradict each other are another refusal, and play no part here.
    calm = msgspec.structs.replace(keyspace.replication, hint_window_s=60, tombstone_grace_s=3_600)
    keyspace = msgspec.structs.replace(keyspace, replication=calm)
    best: Shown | None = None
    found_count = 0
    copies = keyspace.replication.replicas
    node_count = max(node_count, copies) if isinstance(copies, int) and copies <= _NODE_COUNT_MAX else node_count
    if keyspace.replication.sloppy:
        node_count += 2  # somebody must be there to stand in
    try:
        for seed in range(1, _SEED_COUNT + 1):
            found = _run(keyspace, anomaly, seed, _drawn(keyspace, anomaly, seed, node_count), node_count)
            if found is None:
                continue
            found = _smaller(keyspace, anomaly, found, node_count)
            found_count += 1
            if best is None or len(found.steps) < len(best.steps):
                best = found
            if len(best.steps) <= _SMALL_COUNT or found_count == _FOUND_COUNT:
                break
    except QuorateError:
        return None  # the design contradicts itself so much that it cannot even be run
    return best


def _drawn(keyspace: Keyspace, anomaly: str, seed: int, node_count: int) -> list[Step]:
    """Return a script: calls one after another, mostly without overlap."""
    dice = Random(seed)
    kinds: tuple[Kind, ...] = ("write", "read")
    if anomaly == "lost update":
        kinds = ("update", "read")
    if anomaly == "lost write":
        kinds = ("write", "write")  # and one read, long after
    steps: list[Step] = []
    at_ms = 10
    for number in range(1, _CALL_COUNT + 1):
        kind = kinds[dice.randrange(2)]
        steps.append(Step(at_ms, kind, dice.randrange(node_count) + 1, dice.randrange(2) + 1, number))
        if anomaly == "lost write" and kind == "write" and dice.random() < 0.3:
            steps.append(Step(at_ms, "crash", steps[-1].node, 0, 0))
        at_ms += dice.choice((1, 5, 20, 60))
    if anomaly == "lost write":
        steps.append(Step(at_ms + 300, "read", dice.randrange(node_count) + 1, 1, 0))
    if keyspace.replication.sloppy:
        steps.insert(0, Step(5, "split", dice.randrange(1, node_count), 0, 0))
    return steps


def _smaller(keyspace: Keyspace, anomaly: str, shown: Shown, node_count: int) -> Shown:
    """Take calls out while the history is still refuted."""
    place = 0
    while place < len(shown.steps):
        fewer = [*shown.steps[:place], *shown.steps[place + 1 :]]
        found = _run(keyspace, anomaly, shown.seed, fewer, node_count)
        # What is left may fit with less after every success, so it begins anew.
        shown, place = (shown, place + 1) if found is None else (found, 0)
    return shown


def _run(keyspace: Keyspace, anomaly: str, seed: int, steps: Sequence[Step], node_count: int) -> Shown | None:
    with World(seed) as world:
        skew_ms = _SKEW_MS if anomaly == "swallowed write" else 0
        run = _Run(world, keyspace, seed, node_count, skew_ms)
        finding = run.judge(steps)
    return Shown(seed, list(steps), run.lines, finding) if finding.verdict == "invalid" else None


class _Run:
    """One script on one world."""

    def __init__(self, world: World, keyspace: Keyspace, seed: int, node_count: int, skew_ms: int) -> None:
        self.world = world
        self.operations: dict[int, dict[str, Any]] = {}
        self.lines: list[str] = []
        self._rule = rule_named(keyspace.rule if keyspace.rule in ("lww", "siblings", "crdt") else "lww")
        self._token = 0
        # Token → (step, token of the operation that it belongs to).
        self._waiting: dict[int, tuple[Step, int]] = {}
        self._event_count = 0
        self._skew_ms: dict[NodeId, int] = {}
        nodes = tuple(NodeId(number) for number in range(1, node_count + 1))
        topology = first_topology(keyspace, nodes, {})
        configs = {node: machine_config(node, keyspace, topology, 1 << 20).leaderless for node in nodes}

        def make(node: NodeId, records: list[Record], rng: Random) -> Leaderless:
            config: LeaderlessConfig = configs[node]
            return Leaderless(config, records, rng, rule=self._rule)

        self._cluster = CoreCluster(
            world, make, [int(node) for node in nodes], on_deliver=self._told, compact=canonical
        )
        dice = Random(seed)
        for host in self._cluster.hosts.values():
            for other in self._cluster.hosts.values():
                # One delay for each link, so that a call that is taken out changes nothing for the others.
                late = LinkPolicy(latency=milliseconds(dice.choice(_DELAYS_MS)), jitter=Duration(0))
                world.links.policies[host.number, other.number] = late
            self._skew_ms[host.node] = dice.randrange(-skew_ms, skew_ms + 1)
            host.host.time.wall_offset_ns += int(milliseconds(self._skew_ms[host.node]))

    def judge(self, steps: Sequence[Step]) -> Finding:
        self._cluster.start()
        for host in self._cluster.hosts.values():
            host.call(Tick(_wall_ns(host)))
        self._cluster.run_for(_WARM_UP)
        for step in steps:
            self.world.at(step.at_ms * MILLISECOND, lambda step=step: self._begin(step))  # type: ignore[misc]
        self._cluster.run_for(Duration(max((step.at_ms for step in steps), default=0) * MILLISECOND + _SPAN))
        return check([Operation(**fields) for fields in self.operations.values()], "cas-register")

    def _begin(self, step: Step) -> None:
        host = self._cluster.hosts[NodeId(step.node)]
        if step.kind == "split":
            self._split(step.node)
            return
        if step.kind == "crash":
            self._say(f"node {step.node} loses power, and starts again")
            host.crash()
            host.restart()
            host.call(Tick(_wall_ns(host)))
            return
        if not host.is_running:
            return
        self._token += 1
        function = {"write": "write", "read": "read", "update": "cas"}[step.kind]
        self.operations[self._token] = {
            "process": step.client,
            "f": function,
            "value": step.value if step.kind == "write" else None,
            "outcome": "info",
            "call": self._next_event(),
            "invoke_ns": self.world.now,
            "done": NEVER,
        }
        self._ask(step, self._token, Put(b"%d" % step.value) if step.kind == "write" else None)

    def _ask(self, step: Step, operation: int, change: Put | None) -> None:
        host = self._cluster.hosts[NodeId(step.node)]
        self._token += 1
        self._waiting[self._token] = (step, operation)
        host.call(Batch((Request(self._token, _KEY, change),), _wall_ns(host)))

    def _told(self, host: CoreHost, output: Output) -> None:
        del host
        if not isinstance(output, Answered | Failed) or output.token not in self._waiting:
            return
        step, operation = self._waiting.pop(output.token)
        fields = self.operations[operation]
        if isinstance(output, Failed):
            if output.happened == "no":
                self._end(fields, "fail")
            return
        values = [int(value) for value in self._rule.seen(output.cell).values] if output.cell else []
        seen = max(values, default=None)
        if step.kind == "update" and fields["value"] is None:
            fields["value"] = [seen, step.value]
            self._ask(step, operation, Put(b"%d" % step.value))
            return
        self._end(fields, "ok")
        fields["result"] = {"read": seen, "write": step.value, "update": True}[step.kind]
        if step.kind == "update":
            what = f"reads {_shown(fields['value'][0])} and writes {step.value}"
        else:
            what = f"reads {_shown(seen)}" if step.kind == "read" else f"writes {step.value}"
        skew_ms = self._skew_ms[NodeId(step.node)]
        what += f" (its clock: {skew_ms:+d} ms)" if skew_ms else ""
        self._say(f"client {step.client} through node {step.node} {what}", since_ms=step.at_ms)

    def _split(self, last: int) -> None:
        """Cut the links between nodes up to one and those above; each side finds the other gone."""
        hosts = list(self._cluster.hosts.values())
        for one in hosts:
            for other in hosts:
                if (one.node <= last) != (other.node <= last):
                    self.world.partitions.cut(one.number, other.number)
                    one.call(PeerDown(other.node))
        self._say(f"nodes up to {last} and those above lose each other")

    def _end(self, fields: dict[str, Any], outcome: str) -> None:
        fields["outcome"], fields["done"], fields["complete_ns"] = outcome, self._next_event(), self.world.now

    def _next_event(self) -> int:
        self._event_count += 1
        return self._event_count

    def _say(self, sentence: str, *, since_ms: int | None = None) -> None:
        now_ms = self.world.now / MILLISECOND
        span = f"{since_ms:>4} to {now_ms:6.1f} ms" if since_ms is not None else f"{'':>8}{now_ms:6.1f} ms"
        self.lines.append(f"{span}  {sentence}")


def _shown(value: int | None) -> str:
    return "nothing" if value is None else str(value)


def _wall_ns(host: CoreHost) -> int:
    return host.now() + host.host.time.wall_offset_ns
