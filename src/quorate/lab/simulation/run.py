"""One run at loop level: the whole shipped server on simulated machines, harmed, healed, judged.

Phase one: clients work through every node's door while faults come, drawn and aimed. Phase two: a quorum is kept, the
rest dies for ever, faults end; the quorum must serve again, and every key is read once more. Then what clients saw is
judged. Across nodes, invariants and the effect of every entry were checked all the time (see `watch`).
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from quorate.check import check
from quorate.env import Address
from quorate.kernel import MILLISECOND, SECOND, GroupId, NodeId, marks, seconds
from quorate.lab.clients import Worker, final_reads
from quorate.lab.recorder import Recorder
from quorate.lab.simulation.aims import AIM_NAMES, Aimer
from quorate.lab.simulation.cluster import SimClient, SimCluster
from quorate.lab.simulation.conditions import Conditions, draw_conditions
from quorate.lab.simulation.doors import SessionClient, do_chores, operate
from quorate.lab.simulation.ending import conclude
from quorate.lab.simulation.options import Failed, Outcome, SimOptions
from quorate.lab.simulation.watch import Watcher
from quorate.lab.workload import Bucket, Intent, Workload
from quorate.protocols.raft import Raft
from quorate.server import Storage
from quorate.sim import (
    FaultSchedule,
    Nemesis,
    TCPPolicy,
    World,
    choose_quorum,
    make_env,
)

# A client gives up on one attempt after this.
ATTEMPT_TIMEOUT_S = 0.8
CALL_TIMEOUT_S = 1.6
# A healthy quorum must serve again within this. The longest pause of a connection that is being retransmitted is a
# second here, so that waiting for the network is not mistaken for a node that hangs.
PROGRESS_BOUND = seconds(20)
CHECK_BUDGET = 600_000
KEY_COUNT = 5
OPERATIONS_PER_KEY_MAX = 70


class LoopRun:
    """One run at loop level; see the module."""

    def __init__(self, options: SimOptions, world: World, conditions: Conditions, *, is_traced: bool = False) -> None:
        self.options = options
        self.world = world
        self.conditions = conditions
        self.recorder = Recorder(lambda: world.now)
        self.watcher = Watcher(self._machines, self._moment, self._tell if is_traced else None)
        self.cluster = SimCluster(
            world,
            node_count=conditions.node_count,
            replica_class=self.watcher.watched(),
            storage=Storage(
                checkpoint_entry_count=conditions.checkpoint_entry_count,
                trailing_entry_count=conditions.trailing_entry_count,
                segment_bytes_max=16 << 10,
                # Half of the runs write behind the file's end, where a torn write leaves a file of another length.
                reserve_bytes=world.choices.stream("reserved space").below(2) << 12,
                # Half of the runs sync in the background, where a power cut can come between a write and its sync.
                inline_sync_bytes_max=world.choices.stream("inline sync").below(2) << 18,
                free_bytes_min=0,
            ),
            group_count=conditions.group_count,
            lease_reads=conditions.lease_reads,
        )
        hosts = {host.number: host for host in self.cluster.hosts}
        self.nemesis = Nemesis(world, hosts, atlas=conditions.atlas)
        replayed = options.faults is not None
        self.aimer = Aimer(
            self.nemesis,
            {} if replayed else conditions.aims,
            nodes=[host.node for host in self.cluster.hosts],
            leader=self.cluster.leader,
            dice=world.choices.stream("aims"),
        )
        if options.faults is not None:
            self.nemesis.follow(options.faults)
        elif conditions.has_random_faults:
            dice = world.choices.stream("schedule")
            self.nemesis.follow(FaultSchedule.drawn(dice, sorted(hosts), options.time, conditions.mix))
        self.lab = make_env(world.lab)

    def _machines(self, group: GroupId) -> Sequence[Raft]:
        return [server.node.replicas[group].machine for server in self.cluster.live().values()]

    def _tell(self, node: NodeId, text: str) -> None:
        self.world.trace(f"node-{node}", text)

    def _moment(self, name: str, node: NodeId) -> None:
        self.aimer.happened(name, node)

    # -- the run ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run both phases and judge; raise Failed, or what the world reports."""
        world, span = self.world, self.options.time
        self.cluster.start()
        self._revive()
        world.run(self._work(span), timeout=seconds(span / SECOND + 60))
        self._end_faults()
        world.run(self._prove_progress(), timeout=seconds(PROGRESS_BOUND / SECOND + 60))
        self._raise_if_broken()
        self._judge()

    def _revive(self) -> None:
        """Start again the nodes that stopped of themselves, as a supervisor would."""
        if not self.aimer.is_stopped:
            for node, cause in list(self.cluster.stopped.items()):
                host = self.cluster.host_of(node)
                if not host.is_running:
                    if self.conditions.disk.sync_error == 0:
                        raise Failed("node stopped", f"node {node} could not go on: {cause}")
                    del self.cluster.stopped[node]
                    host.restart()
            self.world.at(self.world.now + 300 * MILLISECOND, self._revive)

    def _clients(self) -> list[Worker]:
        conditions, cluster = self.conditions, self.cluster
        addresses = [cluster.address_of(place) for place in range(len(cluster.hosts))]
        workers = []
        for number in range(conditions.worker_count):
            place = number % len(addresses)
            around = addresses[place:] + addresses[:place]
            client = (
                SimClient(self.lab, around[0])
                if number % 2 == 0
                else SessionClient(self.lab, around, client=number + 1, timeout_s=ATTEMPT_TIMEOUT_S)
            )
            timeout_s = CALL_TIMEOUT_S if number % 2 == 0 else 4 * CALL_TIMEOUT_S
            workers.append(
                Worker(
                    number=number,
                    worker_count=100,
                    client=client,
                    recorder=self.recorder,
                    timeout_s=timeout_s,
                )
            )
        return workers

    async def _work(self, span: int) -> None:
        world, conditions = self.world, self.conditions
        self.workload = Workload(
            world.choices.random("workload"), key_count=KEY_COUNT, operation_count_max=OPERATIONS_PER_KEY_MAX
        )
        bucket = Bucket(rate=conditions.operations_per_second)
        workers = self._clients()
        tasks = [worker.run(self.workload, bucket, span) for worker in workers]
        if conditions.has_chores:
            tasks.append(
                do_chores(
                    self.lab, self.cluster, world.choices.random("chores"), span, large_values=conditions.large_values
                )
            )
        if conditions.has_operator:
            tasks.append(operate(self.cluster, world.choices.random("operator"), span))
        await asyncio.gather(*tasks)
        for worker in workers:
            await worker.close()

    def _end_faults(self) -> None:
        """Keep a quorum, let the rest die for ever, and heal everything else."""
        self.aimer.is_stopped = True
        world = self.world
        kept = choose_quorum(sorted(self.nemesis.targets), world.choices.stream("quorum"))
        world.trace("nemesis", f"faults end; nodes {kept} live on")
        self.cluster.stopped.clear()
        for host in self.cluster.hosts:
            host.disk.policy = type(host.disk.policy)(sync_max=host.disk.policy.sync_max)
        world.links.policy = type(world.links.policy)()
        self.nemesis.mend(keep=kept)
        self.kept = kept

    async def _prove_progress(self) -> None:
        world, recorder = self.world, self.recorder
        deadline = recorder.now_ns() + PROGRESS_BOUND
        workers = [
            Worker(
                number=50 + node,
                worker_count=100,
                client=SimClient(self.lab, Address(self.cluster.hosts[node - 1].ip, 6379)),
                recorder=recorder,
                timeout_s=CALL_TIMEOUT_S,
            )
            for node in self.kept
        ]
        self.workload.keys.append("counter-last")
        for worker in workers:
            while (await worker.perform(Intent("increment", "counter-last", 1))).outcome != "ok":
                if recorder.now_ns() > deadline:
                    why = "; ".join(f"node {node}: {cause}" for node, cause in self.cluster.stopped.items())
                    raise Failed(
                        "no progress",
                        f"nodes {self.kept} are healthy, and a write through node {worker.number - 50} was not "
                        f"accepted within {PROGRESS_BOUND / SECOND:.0f} s {why}".strip(),
                    )
                await asyncio.sleep(0.1)
        unread = await final_reads(workers, self.workload.keys, deadline_ns=deadline + SECOND, now_ns=recorder.now_ns)
        if unread:
            raise Failed("no progress", f"{len(unread)} keys could not be read from a healthy quorum: {unread[:5]}")
        for worker in workers:
            await worker.close()
        assert world.now >= 0, "time only moves on"

    def _raise_if_broken(self) -> None:
        if self.watcher.broken is not None:
            raise self.watcher.broken

    def _judge(self) -> None:
        finding = check(self.recorder.history(), "kv", budget=CHECK_BUDGET)
        if finding.verdict == "invalid":
            raise Failed("not linearizable", str(finding))
        if finding.verdict == "unknown":
            raise Failed("undecided", finding.explanation)


def run_loop(options: SimOptions, fixed: dict[str, object] | None = None, *, trace: bool = False) -> Outcome:
    """Run one plan at loop level and return what came of it; never raises for what the system does.

    Args:
        options: of the run.
        fixed: conditions that are not drawn.
        trace: print one line per notable event to standard error.
    """
    began = time.process_time()
    marks.reset()
    world = World(options.seed, tcp=TCPPolicy(retransmit_max=SECOND), trace=trace, buggify=True)
    conditions = draw_conditions(world.choices, AIM_NAMES, dict(fixed or {}), options.node_count)
    world.links.policy, world.disk_policy = conditions.link, conditions.disk
    with _silence(), world:
        run = LoopRun(options, world, conditions, is_traced=trace)
        return conclude(
            options,
            world,
            run.run,
            nemesis=run.nemesis,
            operations=run.recorder.outcomes,
            node_count=conditions.node_count,
            began=began,
            broken=lambda: run.watcher.broken,
        )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Let no log line of a simulated node reach the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def add_counts(total: Counter[str], counts: dict[str, int]) -> None:
    """Add counts by name."""
    for name, count in counts.items():
        total[name] += count
