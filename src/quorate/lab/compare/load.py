"""The same clients for every design: operations begin at drawn moments on every node, and a read follows each write.

The load is open: what is late or refused does not slow down what comes next, so an outage counts with its whole length.
All draws are made without looking at answers, so every design is asked the same at the same moments.
"""

from collections.abc import Callable
from random import Random

import msgspec

from quorate.kernel import MILLISECOND, SECOND, Duration
from quorate.kernel.errors import Unreachable
from quorate.lab.compare.deployment import Deployment
from quorate.lab.compare.plan import RunPlan
from quorate.lab.recorder import Call, Recorder
from quorate.sim import World

# Rounds in which what was acknowledged is looked for at the end, through one node after another.
AUDIT_ROUND_COUNT = 6
AUDIT_PAUSE = Duration(250 * MILLISECOND)
# Process numbers of one node begin here times its id.
PROCESSES_PER_NODE = 1_000_000


class Clients:
    """Makes operations and records what became of them.

    Args:
        plan: what to do.
        world: where.
        deployment: to whom.
    """

    def __init__(self, plan: RunPlan, world: World, deployment: Deployment) -> None:
        self.plan = plan
        self.world = world
        self.deployment = deployment
        self.recorder = Recorder(lambda: world.now)
        # Place in the history of a call → the node that served it.
        self.served_by: dict[int, int] = {}
        # Inserted keys whose insert was acknowledged → its value.
        self.acknowledged: dict[str, int] = {}
        self.registers = [f"r{number}" for number in range(plan.load.key_count)]
        self._nodes = list(range(1, plan.node_count + 1))
        self._free: dict[int, list[int]] = {node: [] for node in self._nodes}
        self._made: dict[int, int] = dict.fromkeys(self._nodes, 0)
        self._last_value = 0
        self._insert_count = 0
        self._probe_count = 0

    # -- arrivals -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Plan all arrivals from now on."""
        began_at = self.world.now
        gap_ns = SECOND * self.plan.node_count / self.plan.load.rate
        for node in self._nodes:
            rng = self.world.choices.random("arrivals", node)
            # Chance of its own for what is asked, so that who asks moves nothing of it.
            what = self.world.choices.random("operations", node)
            at = rng.expovariate(1.0) * gap_ns
            while at < self.plan.timeline.end:
                self.world.at(began_at + round(at), self._arrival(node, what))
                at += rng.expovariate(1.0) * gap_ns

    def _arrival(self, node: int, rng: Random) -> Callable[[], None]:
        load = self.plan.load
        share, key = rng.random(), self.registers[rng.randrange(len(self.registers))]
        other = self._nodes[(node - 1 + rng.randrange(1, len(self._nodes))) % len(self._nodes)]
        if share < load.write_share:
            return lambda: self.write(node, key, lambda call: self._probe(call, other))
        if share < load.write_share + load.insert_share:
            self._insert_count += 1
            new_key = f"i{self._insert_count}"
            return lambda: self.write(node, new_key, self._inserted)
        return lambda: self.read(node, key)

    def _probe(self, call: Call, node: int) -> None:
        """After an acknowledged write: read it through another node, a little later."""
        if call.outcome == "ok":
            delays = self.plan.load.probe_delays_ms
            delay = delays[self._probe_count % len(delays)]
            self._probe_count += 1
            self.world.at(self.world.now + round(delay * MILLISECOND), lambda: self.read(node, call.key))

    def _inserted(self, call: Call) -> None:
        if call.outcome == "ok":
            assert isinstance(call.value, int), "an insert has a value"
            self.acknowledged[call.key] = call.value

    # -- operations ---------------------------------------------------------------------------------------------------

    def read(self, node: int, key: str, then: Callable[[Call], None] | None = None) -> None:
        """Read through a node, or through the next one that runs."""
        self._perform(node, "read", key, None, then)

    def write(self, node: int, key: str, then: Callable[[Call], None] | None = None) -> None:
        """Write a value that was never written before."""
        self._last_value += 1
        self._perform(node, "write", key, self._last_value, then)

    def _perform(self, home: int, f: str, key: str, value: int | None, then: Callable[[Call], None] | None) -> None:
        process = self._process(home)
        call = self.recorder.invoke(process=process, worker=home, f=f, key=key, value=value)

        def done(result: int | None, error: Exception | None) -> None:
            if error is None:
                self.recorder.ok(call, result)
                self._free[home].append(process)
            elif not self.recorder.failed(call, error):
                self._free[home].append(process)
            if then is not None:
                then(call)

        node = self._running(home)
        if node is None:
            done(None, Unreachable("no node runs"))
            return
        self.served_by[call.index] = node
        timeout = self.plan.load.timeout
        if value is None:
            self.deployment.read(node, key, timeout, done)
        else:
            self.deployment.write(node, key, value, timeout, done)

    def _process(self, node: int) -> int:
        free = self._free[node]
        if free:
            free.sort(reverse=True)
            return free.pop()
        self._made[node] += 1
        return node * PROCESSES_PER_NODE + self._made[node]

    def _running(self, home: int) -> int | None:
        """Return the node that a client of a node uses: its own, or while that is down the next one."""
        hosts = {int(node): host for node, host in self.deployment.cluster.hosts.items()}
        ring = [self._nodes[(home - 1 + step) % len(self._nodes)] for step in range(len(self._nodes))]
        return next((node for node in ring if hosts[node].is_running), None)

    # -- the end ------------------------------------------------------------------------------------------------------

    def audit(self) -> "Audit":
        """Look for every acknowledged write through one node after another; return what nobody has."""
        wanted = dict(self.acknowledged)
        last: dict[str, int | None] = {}
        # Each key through every node in turn.
        places = {key: place for place, key in enumerate([*wanted, *self.registers])}
        for round_number in range(max(AUDIT_ROUND_COUNT, len(self._nodes))):
            for key in [*wanted, *self.registers]:
                node = self._nodes[(places[key] + round_number) % len(self._nodes)]
                self.read(node, key, lambda call: self._audited(call, wanted, last))
            self.world.run_for(Duration(self.plan.load.timeout + AUDIT_PAUSE))
            if not wanted and len(last) == len(self.registers):
                break
        return Audit(lost=sorted(wanted), acknowledged_count=len(self.acknowledged), last=last)

    def _audited(self, call: Call, wanted: dict[str, int], last: dict[str, int | None]) -> None:
        if call.outcome != "ok":
            return
        result = call.result if isinstance(call.result, int) else None
        if call.key in wanted:
            if result == wanted[call.key]:
                del wanted[call.key]
        elif call.key not in self.acknowledged:
            last[call.key] = result


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at the end."""

    # Keys whose acknowledged insert nobody has.
    lost: list[str]
    acknowledged_count: int
    # Register → its value at the end.
    last: dict[str, int | None]
