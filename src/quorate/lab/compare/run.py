"""One run: a design, a scenario, a seed. A pure function of its plan."""

import msgspec

from quorate.kernel import MILLISECOND, Duration, NodeId, seconds
from quorate.lab.compare.deployment import Deployment
from quorate.lab.compare.leaderless_cluster import LeaderlessCluster
from quorate.lab.compare.load import Clients
from quorate.lab.compare.measures import measure
from quorate.lab.compare.plan import RunPlan
from quorate.lab.compare.raft_cluster import RaftCluster
from quorate.lab.compare.results import Observed, RunResult
from quorate.lab.compare.scenarios import SKEW, SLOW_JITTER, SLOW_LATENCY, Scenario, scenario_named
from quorate.lab.compare.spec import RaftDesign, check_fits
from quorate.lab.compare.wire import SampledLinks
from quorate.sim import DiskPolicy, LinkPolicy, Partitions, TCPPolicy, World

QUIET = seconds(1)
CONVERGE_BOUND = seconds(30)
CONVERGE_STEP = Duration(2 * MILLISECOND)


def run_plan(plan: RunPlan) -> RunResult:
    """Run one plan and return what was measured.

    Raises:
        UsageError: a plan that cannot be.

    Complexity: O(operations * messages per operation).
    """
    check_fits(plan.design, plan.node_count)
    scenario = scenario_named(plan.scenario, plan.node_count)
    with _world(plan) as world:
        deployment = deploy(plan, world)
        clients = Clients(plan, world, deployment)
        observed = _Run(plan, scenario, world, deployment, clients).run()
        audit = clients.audit()
        return measure(plan, scenario, clients.recorder, observed, audit)


def deploy(plan: RunPlan, world: World) -> Deployment:
    """Return the cluster of a design, not started."""
    if isinstance(plan.design, RaftDesign):
        return RaftCluster(plan.design, world, plan.node_count)
    return LeaderlessCluster(plan.design, world, plan)


def _world(plan: RunPlan) -> World:
    network = plan.network
    link = LinkPolicy(latency=network.latency, jitter=network.jitter, lose=network.lose)
    disk = DiskPolicy(sync_min=network.sync_min, sync_max=network.sync_max)
    world = World(plan.seed, link=link, disk=disk)
    links = SampledLinks(world.choices, policy=link, tcp=TCPPolicy())
    links.samples = []
    world.links = links
    # It holds on to the cuts of the links that it was made with.
    world.partitions = Partitions(world)
    return world


class _Run:
    """The order of one run."""

    def __init__(
        self, plan: RunPlan, scenario: Scenario, world: World, deployment: Deployment, clients: Clients
    ) -> None:
        self.plan = plan
        self.scenario = scenario
        self.world = world
        self.deployment = deployment
        self.clients = clients
        self.observed = Observed()
        self._healed_ns: int | None = None

    def run(self) -> Observed:
        """Run all phases but the audit."""
        world, meter, observed, timeline = self.world, self.deployment.meter, self.observed, self.plan.timeline
        self.deployment.prepare()
        before = meter.message_count, meter.byte_count
        world.run_for(QUIET)
        idle = meter.message_count - before[0], meter.byte_count - before[1]
        observed.idle_messages, observed.idle_bytes = (count * seconds(1) / QUIET for count in idle)
        before = meter.message_count, meter.byte_count
        observed.began_ns = began = world.now
        links = world.links
        assert isinstance(links, SampledLinks), "the world of a comparison samples its links"
        self.clients.begin()
        world.at(began + timeline.calm, lambda: observed.delays_ns.extend(links.samples))
        world.at(began + timeline.calm, self._harm)
        world.at(began + timeline.heal_at, self._heal)
        links.samples.clear()
        world.run_for(timeline.end)
        observed.messages, observed.bytes = meter.message_count - before[0], meter.byte_count - before[1]
        observed.kinds = dict(meter.kinds)
        world.run_for(Duration(self.plan.load.timeout + 10 * MILLISECOND))
        self.deployment.cluster.run_until(
            lambda: observed.converged_ns is not None, timeout=CONVERGE_BOUND, period=Duration(20 * MILLISECOND)
        )
        observed.copies = self.deployment.copies()
        return observed

    def _harm(self) -> None:
        scenario, cluster, world = self.scenario, self.deployment.cluster, self.world
        hosts = {int(node): host for node, host in cluster.hosts.items()}
        for source, target in scenario.cuts:
            world.partitions.cut(hosts[source].number, hosts[target].number)
        for node in scenario.slow:
            policy: LinkPolicy = msgspec.structs.replace(
                world.links.policy, latency=SLOW_LATENCY, jitter=SLOW_JITTER
            )  # fmt: skip
            for other in hosts.values():
                if other is not hosts[node]:
                    pair = hosts[node].number, other.number
                    world.links.policies[pair] = world.links.policies[pair[::-1]] = policy
        for node in scenario.skewed:
            hosts[node].host.jump_wall(Duration(-SKEW))
        for node in scenario.killed:
            hosts[node].crash()
        for node in scenario.unpowered:
            hosts[node].power_cut()

    def _heal(self) -> None:
        self.world.partitions.heal()
        self.world.links.policies.clear()
        for node in self.scenario.skewed:
            self.deployment.cluster.hosts[NodeId(node)].host.jump_wall(SKEW)
        # What the cluster knows is what those know who ran, and what the others have on disk.
        for node in (*self.scenario.killed, *self.scenario.unpowered):
            self.deployment.restart(node)
        self.deployment.mark()
        self._healed_ns = self.world.now
        self._look()

    def _look(self) -> None:
        assert self._healed_ns is not None, "one looks after the healing"
        if self.deployment.has_converged():
            self.observed.converged_ns = self.world.now - self._healed_ns
        elif self.world.now - self._healed_ns < CONVERGE_BOUND:
            # Closely at first, then by a fiftieth: what never converges should not cost more than what ran.
            step = max(CONVERGE_STEP, (self.world.now - self._healed_ns) // 50)
            self.world.at(self.world.now + step, self._look)
