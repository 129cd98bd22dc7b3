"""Leaderless clusters in the simulated world under faults, judged by the lattice of their cells.

A write that was answered, or a read that repaired before it answered, is contained in every later read whose quorum
crosses; nothing that was refused for certain is ever seen; no value vanishes that nobody replaced; and when faults end,
all owners hold the same bytes.
"""

import random
from collections import Counter

import msgspec
import pytest

from quorate.kernel import MILLISECOND, Event, NodeId, Output, Record, hash_key, milliseconds, seconds
from quorate.protocols.leaderless import (
    MESSAGES,
    Answered,
    Batch,
    Count,
    Delete,
    Failed,
    Grouping,
    Hinted,
    HintGone,
    InvariantBroken,
    Leaderless,
    LeaderlessConfig,
    NodesHistory,
    PeerDown,
    PeerUp,
    Place,
    Put,
    Reconcile,
    Reconfigure,
    Request,
    Stored,
    Synchronized,
    Tick,
    check_acknowledged,
    check_nodes,
    contains,
    needs_of,
    rule_named,
    topology_of,
)
from quorate.sim import Atlas, CoreCluster, CoreHost, DiskPolicy, FaultSchedule, LinkPolicy, Mix, Nemesis, World

KEYS = (b"a", b"b", b"c")
COUNTER = b"counter"


class Operation(msgspec.Struct):
    node: NodeId
    boot: int
    key: bytes
    change: Put | Delete | Count | None
    level: str
    # All that was known to be done when it began.
    floor: bytes
    # Values that the client had read: a write replaces them.
    read: tuple[bytes, ...] = ()
    client: int = 0
    began: int = 0


class Disk:
    """What a node's stable records amount to, followed as they grow."""

    def __init__(self) -> None:
        self.position = 0
        self.cells: dict[bytes, bytes] = {}
        self.hints: dict[tuple[NodeId, bytes], bytes] = {}

    def follow(self, records: list[Record]) -> None:
        if len(records) < self.position:
            self.__init__()
        for record in records[self.position :]:
            match record:
                case Stored(key, cell):
                    self.cells[key] = cell
                case Hinted(owner, key, cell):
                    self.hints[owner, key] = cell
                case HintGone(owner, key):
                    self.hints.pop((owner, key), None)
        self.position = len(records)


class Run:
    """One run; everything is drawn from the seed but for what is given."""

    def __init__(
        self,
        seed: int,
        *,
        wipes: int = 0,
        moves: bool = False,
        purges: bool = False,
        faults: bool = True,
        **given: object,
    ) -> None:
        self.dice = random.Random(seed)
        draw = self.dice.choice
        self.node_count = draw((3, 3, 4, 5))
        self.rule = rule_named(str(given.pop("rule", draw(("lww", "siblings", "merge:lines")))))
        levels = draw((("QUORUM", "QUORUM"), ("QUORUM", "QUORUM"), ("TWO", "TWO"), ("ONE", "ALL"), ("ALL", "ONE")))
        self.config: dict[str, object] = {
            "read_level": levels[0],
            "write_level": levels[1],
            "read_repair": draw(("blocking", "blocking", "background", "none")),
            "digest_reads": draw((True, True, False)),
            "speculative_delay": milliseconds(draw((0, 5, 20))),
            "hint_delay": milliseconds(draw((50, 500))),
            "request_timeout": milliseconds(draw((300, 1000))),
            "sloppy": draw((False, False, True)),
            "hint_count_max": draw((2, 1000)),
            **given,
        }
        if moves:
            # A node that is removed while it is cut off knows nothing of it: of a quorum alone it is told.
            self.config |= {"read_level": draw(("QUORUM", "TWO")), "write_level": "QUORUM"}
            self.config |= {"stream_rate": draw((20, 1000)), "stream_part_count": draw((1, 2, 100))}
            if draw((True, False)):
                # Who missed a write stays behind: it is the movement that must keep enough copies.
                self.config |= {"hint_count_max": 0, "read_repair": "none", "hint_delay": milliseconds(500)}
        self.purges = purges
        self.keys = KEYS if not purges else tuple(b"%d" % number for number in range(30))
        if purges:
            # Faults are shorter than the grace, and replicas are compared all the time.
            self.config |= {"purge": draw(("grace", "repair", "repair")), "request_timeout": milliseconds(300)}
            self.config |= {"hint_window": seconds(1), "tombstone_grace": seconds(8), "hint_delay": milliseconds(50)}
        self.is_regular = not self.config["sloppy"] and not wipes
        lose, repeat = draw((0.0, 0.02, 0.1)), draw((0.0, 0.05))
        link = LinkPolicy(lose=lose, repeat=repeat, reorder=draw((0.0, 0.1)), jitter=milliseconds(draw((0.1, 3, 60))))
        disk = DiskPolicy(sync_max=milliseconds(draw((2, 2, 40))))
        self.world = World(seed, link=link, disk=disk)
        founders = [NodeId(node) for node in range(1, self.node_count + 1)]
        self.topology = topology_of(founders)
        self.node_count += 2 if moves else 0
        nodes = [NodeId(node) for node in range(1, self.node_count + 1)]
        self.core = CoreCluster(
            self.world, self.make, [int(node) for node in nodes], codec=MESSAGES, on_deliver=self.on_deliver
        )
        self.core.after_step.append(self.after_step)
        self.history = NodesHistory()
        self.disks = {node: Disk() for node in nodes}
        self.operations: dict[int, Operation] = {}
        self.floors: dict[bytes, bytes] = dict.fromkeys(self.keys, b"")
        # Key → its owners in all topologies that were met.
        self.groupings: dict[bytes, dict[Grouping, None]] = {}
        self.counts: Counter[str] = Counter()
        # Value → by which writes (values, or "" for a delete) it was replaced; writes that may have happened.
        self.replaced: dict[bytes, bool] = {}
        self.answered: dict[bytes, bytes] = {}
        self.refused: dict[bytes, bool] = {}
        # Value → when a write was answered whose client had read and replaced it.
        self.dead: dict[bytes, int] = {}
        self.token = 0
        self.is_over = False
        self.hosts = self.core.hosts
        self.core.start()
        self.nemesis = Nemesis(
            self.world,
            {int(node): host for node, host in self.hosts.items()},
            atlas=Atlas(down_max=2, damaged_max=wipes),
        )
        if faults:
            mix = Mix(
                gap_min=milliseconds(50),
                gap_max=milliseconds(1500),
                span_max=seconds(1 if purges else 3),
                wipe=2 if wipes else 0,
                skew=2,
            )
            self.nemesis.follow(
                FaultSchedule.drawn(
                    self.world.choices.stream("schedule"), [int(node) for node in nodes], seconds(15), mix
                )
            )
        self.ticking()
        self.detecting()
        for client in range(1, 5):
            self.client(client)
        if moves:
            self.operate()
        if purges:
            self.compare()

    def make(self, node: NodeId, records: list[Record], rng: random.Random) -> Leaderless:
        config = LeaderlessConfig(node=node, topology=self.topology, **self.config)
        return Leaderless(config, records, rng, rule=self.rule)

    def machines(self) -> list[Leaderless]:
        return [host.machine for host in self.hosts.values() if host.is_running]

    def wall_ns(self, host: CoreHost) -> int:
        return host.now() + host.host.time.wall_offset_ns

    # Around the machines.

    def ticking(self) -> None:
        for host in self.hosts.values():
            host.call(Tick(self.wall_ns(host)))
        if not self.is_over:
            self.world.at(self.world.now + seconds(1), self.ticking)

    def detecting(self) -> None:
        """A failure detector that is right after a while, and wrong now and then."""
        for host in self.hosts.values():
            for other in self.hosts.values():
                if other is not host:
                    is_cut = self.world.links.is_cut(host.number, other.number)
                    is_wrong = not self.is_over and self.dice.random() < 0.01
                    is_down = is_wrong or is_cut or not other.is_running or other.is_paused
                    host.call((PeerDown if is_down else PeerUp)(other.node))
        if not self.is_over:
            self.world.at(self.world.now + self.dice.randrange(100, 700) * MILLISECOND, self.detecting)

    def compare(self) -> None:
        """Anti-entropy: exchange everything, and tell when all owners agreed at one moment."""
        began = {node: self.wall_ns(host) for node, host in self.hosts.items()}
        for host in self.hosts.values():
            for other in self.hosts:
                if other != host.node:
                    host.call(Reconcile(other, (*self.keys, COUNTER)))
        self.world.at(self.world.now + 250 * MILLISECOND, lambda: self.agree(began))

    def agree(self, began: dict[NodeId, int]) -> None:
        if len(self.machines()) == len(self.hosts):
            for key in self.keys:
                owners = self.machines()[0].router.route(key).nodes
                held = {self.hosts[owner].machine.cells.get(key, b"") for owner in owners}
                are_stable = all(key not in self.hosts[owner].machine.unstable for owner in owners)
                if len(held) == 1 and are_stable:
                    self.counts["agreed"] += 1
                    for owner in owners:
                        self.hosts[owner].call(Synchronized(hash_key(key), hash_key(key) + 1, began[owner]))
        if not self.is_over:
            self.compare()

    def operate(self) -> None:
        """Add, remove or replace a node now and then, through any node that is settled on the newest topology."""
        if self.is_over:
            return
        newest = max(self.machines(), key=lambda machine: machine.phase, default=None)
        if newest is not None and newest.next_topology is None:
            inside = list(newest.topology.nodes())
            outside = [node for node in self.hosts if node not in inside]
            what = self.dice.choice(("add", "remove", "replace"))
            place = Place(self.dice.choice(outside)) if outside else None
            if what == "add" and place is not None:
                following = newest.topology.with_nodes(added=[place])
            elif what == "replace" and place is not None:
                following = newest.topology.with_replacement(self.dice.choice(inside), place)
            elif len(inside) > 3:
                following = newest.topology.with_nodes(removed=[self.dice.choice(inside)])
            else:
                following = newest.topology
            self.hosts[newest.node].call(Reconfigure(following))
        elif newest is not None and newest.next_topology is not None and self.dice.random() < 0.3:
            # Another plan instead of the one that is under way, or none.
            removed = [node for node in newest.topology.nodes() if len(newest.topology.nodes()) > 3][:1]
            removed = removed if self.dice.random() < 0.5 else []
            following = newest.topology.with_nodes(removed=removed, instead_of=newest.next_topology)
            self.hosts[newest.node].call(Reconfigure(following))
        self.world.at(self.world.now + self.dice.randrange(100, 3000) * MILLISECOND, self.operate)

    def client(self, number: int) -> None:
        if not self.is_over:
            self.begin(number)

    def begin(self, client: int, read: Answered | None = None, key: bytes = b"") -> None:
        """Read; or write something, with what the last read gave or without."""
        host = self.hosts[NodeId(self.dice.randrange(1, self.node_count + 1))]
        if read is None and self.dice.random() < 0.1:
            self.count(client, host)
            return
        key = key or self.dice.choice(self.keys)
        change: Put | Delete | None = None
        context = b""
        seen: tuple[bytes, ...] = ()
        self.token += 1
        if read is not None or self.dice.random() < 0.4:
            is_delete = self.dice.random() < (0.6 if self.purges else 0.2)
            change = Delete() if is_delete else Put(b"v%d" % self.token)
            if read is not None:
                context = self.rule.token(read.cell)
                seen = tuple(line for value in self.rule.seen(read.cell).values for line in value.split(b"\n"))
            if is_delete and not context:
                # It would take whatever its owner holds, read or not.
                change = Put(b"v%d" % self.token)
        operation = Operation(
            host.node, host.boot_count, key, change, "", self.floors[key], seen, client, self.world.now
        )
        self.operations[self.token] = operation
        self.world.at(self.world.now + seconds(10), lambda token=self.token: self.lose(token))
        if not host.call(Batch((Request(self.token, key, change, context=context),), self.wall_ns(host))):
            del self.operations[self.token]
            self.again(client)

    def count(self, client: int, host: CoreHost) -> None:
        """Add one to a counter: once, whatever is lost and repeated on the way to its owner."""
        self.token += 1
        self.operations[self.token] = Operation(host.node, host.boot_count, COUNTER, Count(1), "", b"", (), client)
        self.world.at(self.world.now + seconds(10), lambda token=self.token: self.lose(token))
        if not host.call(Batch((Request(self.token, COUNTER, Count(1)),), self.wall_ns(host))):
            del self.operations[self.token]
            self.again(client)

    def again(self, client: int, read: Answered | None = None, key: bytes = b"") -> None:
        pause = self.dice.randrange(1, 60) * MILLISECOND
        self.world.at(self.world.now + pause, lambda: None if self.is_over else self.begin(client, read, key))

    def lose(self, token: int) -> None:
        """The client heard nothing: its node is gone."""
        operation = self.operations.pop(token, None)
        if operation is not None:
            host = self.hosts[operation.node]
            assert not host.is_running or host.is_paused or host.boot_count != operation.boot, "every request ends"
            self.maybe(operation)
            self.again(operation.client)

    def maybe(self, operation: Operation) -> None:
        if operation.key == COUNTER:
            self.counts["added maybe"] += 1
        elif operation.change is not None:
            self.replaced.update(dict.fromkeys(operation.read, True))

    def on_deliver(self, host: CoreHost, output: Output) -> None:
        if isinstance(output, Answered | Failed) and output.token in self.operations:
            self.end(output.token, output)

    def end(self, token: int, output: Output) -> None:
        operation = self.operations.pop(token)
        key, change = operation.key, operation.change
        name = "read" if change is None else type(change).__name__.lower()
        if isinstance(output, Failed):
            self.counts[f"{name} {output.code} {output.happened}"] += 1
            if output.happened == "maybe":
                self.maybe(operation)
            elif isinstance(change, Put):
                self.refused[change.value] = True
            self.again(operation.client)
            return
        assert isinstance(output, Answered)
        self.counts[f"{name} ok"] += 1
        if change is None:
            self.judge_read(operation, output)
            wants = self.dice.random() < 0.5
            self.again(operation.client, output if wants else None, key if wants else b"")
            return
        if key == COUNTER:
            self.again(operation.client)
            return
        self.maybe(operation)
        if not self.purges:
            self.judge_write(operation, output)
        if isinstance(change, Put):
            self.answered[change.value] = key
        if self.is_regular:
            self.dead.update(
                dict.fromkeys((value for value in operation.read if value not in self.dead), self.world.now)
            )
            if not self.purges:
                self.floors[key] = self.rule.merge(self.floors[key], output.cell)
        self.again(operation.client)

    # Judgement.

    def judge_read(self, operation: Operation, output: Answered) -> None:
        if self.is_regular:
            assert contains(self.rule, output.cell, operation.floor), (
                f"a read of {operation.key!r} shows {self.rule.seen(output.cell)}, not {self.rule.seen(operation.floor)}"
            )
            if not self.purges and self.config["read_repair"] == "blocking" and self.config["read_level"] != "ONE":
                # The next quorum crosses this one.
                self.floors[operation.key] = self.rule.merge(self.floors[operation.key], output.cell)
        if self.rule.name != "merge:lines":
            back = [
                v for v in self.rule.seen(output.cell).values if self.dead.get(v, operation.began) < operation.began
            ]
            assert not back, f"{back} of {operation.key!r} came back: they had been read and replaced"
        for value in self.rule.seen(output.cell).values:
            for line in value.split(b"\n"):
                assert line not in self.refused, f"{line!r} was refused for certain, and is read"

    def judge_write(self, operation: Operation, output: Answered) -> None:
        held: dict[NodeId, bytes] = {}
        for node, host in self.hosts.items():
            disk = self.disks[node]
            disk.follow(host.durable)
            held[node] = self.rule.merge(held.get(node, b""), disk.cells.get(operation.key, b""))
            if self.config["sloppy"]:
                for (owner, key), cell in disk.hints.items():
                    if key == operation.key:
                        held[owner] = self.rule.merge(held.get(owner, b""), cell)
        if not self.is_regular:
            return
        # Of the topology of whoever coordinated it, which may have changed while the answer came back.
        level = str(self.config["write_level"])
        groupings = self.groupings.setdefault(operation.key, {})
        for machine in self.machines():
            groupings.update(dict.fromkeys(machine.router.route(operation.key).groupings))
        broken = []
        for grouping in groupings:
            try:
                check_acknowledged(
                    self.rule, held, key=operation.key, cell=output.cell, needs=needs_of(level, grouping, "")
                )
            except InvariantBroken as found:
                broken.append(found)
        assert len(broken) < len(groupings), broken

    def after_step(self, _: CoreHost, __: Event) -> None:
        check_nodes(self.machines(), self.history)

    # The end.

    def finish(self) -> None:
        """Let faults rage, then end; then everything must come together."""
        self.core.run_for(seconds(15))
        self.is_over = True
        self.nemesis.stop()
        self.world.partitions.heal()
        self.world.links.policies.clear()
        self.world.links.policy = LinkPolicy()
        for host in self.hosts.values():
            host.resume()
            if not host.is_running:
                host.restart()
        for second in range(60):
            self.core.run_for(seconds(1))
            self.ticking()
            self.detecting()
            newest = max(self.machines(), key=lambda machine: machine.phase)
            # A node that was removed while it was away hears of it when it says something.
            inside = [self.hosts[node].machine for node in newest.topology.nodes()]
            if second > 3 and all(machine.phase == newest.phase for machine in inside) and not newest.is_joint:
                break
        else:
            raise AssertionError(f"the movement did not end: {[machine.phase for machine in self.machines()]}")
        self.counts["topologies"] = newest.topology.version
        assert not self.operations or all(self.hosts[o.node].boot_count != o.boot for o in self.operations.values())
        for operation in self.operations.values():
            self.maybe(operation)
        for host in self.hosts.values():
            assert host.machine.pending_count == 0
        for _ in range(2):
            for host in self.hosts.values():
                for other in self.hosts:
                    if other != host.node:
                        host.call(Reconcile(other, (*self.keys, COUNTER)))
            self.core.run_for(seconds(1))
        self.judge_end()

    def judge_end(self) -> None:
        newest = max(self.machines(), key=lambda machine: machine.phase)
        (counter,) = {self.hosts[owner].machine.cells.get(COUNTER, b"") for owner in newest.router.route(COUNTER).nodes}
        total = int(*self.rule.seen(counter).values or [0])
        added, maybe = self.counts["count ok"], self.counts["added maybe"]
        if self.is_regular:
            assert added <= total <= added + maybe, f"{added} to {added + maybe} times one was added, and it is {total}"
        assert total <= added + maybe, "nothing was added twice"
        for key in self.keys:
            newest = max(self.machines(), key=lambda machine: machine.phase)
            owners = newest.router.route(key).nodes
            others = [m.node for m in self.machines() if m.phase == newest.phase and m.node not in owners]
            assert not any(key in self.hosts[node].machine.cells for node in others), "what moved away was dropped"
            cells = {self.hosts[owner].machine.cells.get(key, b"") for owner in owners}
            # A purge may have come here and not yet there.
            is_purging = self.purges and all(not cell or self.rule.deleted_at_ms(cell) is not None for cell in cells)
            assert len(cells) == 1 or is_purging, f"{key!r} did not converge: {cells}"
            cell = max(cells)
            if self.is_regular:
                assert contains(self.rule, cell, self.floors[key])
            alive = {line for value in self.rule.seen(cell).values for line in value.split(b"\n")}
            assert not alive & set(self.refused)
            if self.rule.name != "lww" and self.is_regular and not self.purges:
                lost = [v for v, at in self.answered.items() if at == key and v not in alive and v not in self.replaced]
                assert not lost, f"{lost} of {key!r} vanished, and nobody had read and replaced them; alive: {alive}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_quorums_cross_and_replicas_converge(seed: int) -> None:
    run = Run(seed)
    run.finish()
    assert run.counts["read ok"] > 20, run.counts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_quorums_cross_while_nodes_come_and_go(seed: int) -> None:
    run = Run(seed, moves=True)
    run.finish()
    assert run.counts["read ok"] > 20, run.counts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_replicas_converge_although_a_disk_was_lost(seed: int) -> None:
    """Dots of the life before are not given again, though the node has forgotten them all."""
    run = Run(seed, wipes=1)
    run.finish()
    assert run.counts["read ok"] > 20, run.counts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_was_deleted_comes_back(seed: int) -> None:
    """While tombstones are purged all the time, by age or by agreement, and hints and replicas come late."""
    run = Run(seed, purges=True)
    run.finish()
    assert run.counts["delete ok"] > 10, run.counts
