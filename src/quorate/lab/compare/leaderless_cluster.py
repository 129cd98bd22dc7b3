"""Leaderless replication as a deployment: membership, quorums, hints and anti-entropy of every node as one machine."""

from random import Random
from typing import Any

import msgspec

from quorate.kernel import MILLISECOND, Duration, NodeId, Output, Record, milliseconds, seconds
from quorate.kernel.errors import QuorateError, Refused, TimedOut, Unreachable
from quorate.lab.compare.deployment import Deployment, Done
from quorate.lab.compare.plan import RunPlan
from quorate.lab.compare.spec import LeaderlessDesign
from quorate.lab.compare.topology import (
    PROBE_INTERVAL_MS,
    PROBE_TIMEOUT_MS,
    SUSPICION_COUNT,
    preferences_of,
    speculative_delay_ms,
    topology_for,
)
from quorate.lab.compare.wire import MeteredCodec
from quorate.protocols.anti_entropy import AntiEntropyConfig
from quorate.protocols.leaderless import (
    Answered,
    Batch,
    Failed,
    LeaderlessConfig,
    Put,
    Request,
    Rule,
    Tick,
    canonical,
    rule_named,
)
from quorate.replication import AVAILABLE_MESSAGES, Available, AvailableConfig
from quorate.sim import CoreCluster, CoreHost, World

SWIM_FIELDS = {
    "probe_interval": milliseconds(PROBE_INTERVAL_MS),
    "probe_timeout": milliseconds(PROBE_TIMEOUT_MS),
    "suspicion_multiplier": SUSPICION_COUNT,
    "suspicion_max_multiplier": 1,
    # Not slower when its own probes fail: that a cut-off side takes long to find out is no part of the comparison.
    "local_health": False,
    "sync_interval": seconds(2),
}
# Replicas compare notes at the same pace.
ENTROPY_FIELDS = {"interval": milliseconds(250), "cycle": seconds(2)}
SETTLE = seconds(1)
TICK = 250 * MILLISECOND


class Waiting(msgspec.Struct, kw_only=True, eq=False):
    """A client's request, until it is answered."""

    node: int
    key: str
    done: Done
    is_write: bool
    is_over: bool = False

    def settle(self, result: int | None, error: QuorateError | None) -> None:
        """Answer it, once."""
        if not self.is_over:
            self.is_over = True
            self.done(result, error)


class LeaderlessCluster(Deployment):
    """A leaderless keyspace on every node.

    Args:
        design: quorums and rules.
        world: where it runs.
        plan: of the run.
        tuning: fields of `LeaderlessConfig` that are not the design's, for experiments.
        swim: whether nodes watch each other.
    """

    def __init__(
        self,
        design: LeaderlessDesign,
        world: World,
        plan: RunPlan,
        *,
        tuning: dict[str, Any] | None = None,
        swim: bool = True,
    ) -> None:
        super().__init__(world)
        self.design = design
        self.plan = plan
        self.rule: Rule = rule_named(design.rule)
        self._has_siblings = design.rule == "siblings"
        self._tuning = tuning or {}
        self._swim = "lan" if swim else None
        self._topology = topology_for(design.n, plan.node_count)
        self.preferences = preferences_of(plan)
        self._waiting: dict[int, Waiting] = {}
        self._token = 0
        # What was known of each key at the mark, until all owners have it.
        self._wanted: dict[tuple[NodeId, bytes], bytes] = {}
        # What each node's clients have seen of a key: the context of their next write, where the rule has siblings.
        self._contexts: dict[tuple[int, str], bytes] = {}
        self.cluster = CoreCluster(
            world,
            self._make,
            list(range(1, plan.node_count + 1)),
            codec=MeteredCodec(AVAILABLE_MESSAGES, self.meter),
            on_deliver=self._on_deliver,
            compact=canonical,
        )

    def _make(self, node: NodeId, records: list[Record], rng: Random) -> Available:
        design = self.design
        fields: dict[str, Any] = {
            "read_level": design.r,
            "write_level": design.w,
            "sloppy": design.sloppy,
            "read_repair": design.repair,
            "digest_reads": not design.eager,
            "speculative_delay": milliseconds(speculative_delay_ms(design)),
            "request_timeout": self.plan.load.timeout,
            **({} if design.hints else {"hint_count_max": 0}),
            **self._tuning,
        }
        leaderless = LeaderlessConfig(node=node, topology=self._topology, **fields)
        entropy = AntiEntropyConfig(node=node, **ENTROPY_FIELDS) if design.anti_entropy else None
        config = AvailableConfig(leaderless=leaderless, swim=self._swim, swim_fields=SWIM_FIELDS, anti_entropy=entropy)
        return Available(config, records, rng, rule=self.rule)

    # -- life ---------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Start all nodes and give them a moment to know each other."""
        self.cluster.start()
        self._tick()
        self.cluster.run_for(SETTLE)

    def _tick(self) -> None:
        """Tell every node the wall clock, now and then."""
        for host in self.cluster.hosts.values():
            host.call(Tick(_wall_ns(host)))
        self.world.at(self.world.now + TICK, self._tick)

    def restart(self, node: int) -> None:
        """Start a node again and tell it the time."""
        host = self.cluster.hosts[NodeId(node)]
        host.restart()
        host.call(Tick(_wall_ns(host)))

    def mark(self) -> None:
        """Remember all that any node has of each key, and which owners lack some of it."""
        known: dict[bytes, bytes] = {}
        for cells in self._cells().values():
            for key, cell in cells.items():
                known[key] = self.rule.merge(known.get(key, b""), cell)
        self._wanted = {(owner, key): cell for key, cell in known.items() for owner in self.preferences.owners(key)}

    def has_converged(self) -> bool:
        """Return whether every owner has it by now."""
        cells = self._cells()
        self._wanted = {
            (owner, key): wanted
            for (owner, key), wanted in self._wanted.items()
            if self.rule.merge(cells[owner].get(key, b""), wanted) != cells[owner].get(key, b"")
        }
        return not self._wanted

    def copies(self) -> dict[int, int]:
        """Return how many keys each node holds."""
        return {int(node): len(cells) for node, cells in self._cells().items()}

    def _cells(self) -> dict[NodeId, dict[bytes, bytes]]:
        return {
            node: host.machine.leaderless.cells if host.is_running else {}  # type: ignore[attr-defined]
            for node, host in self.cluster.hosts.items()
        }

    # -- requests -----------------------------------------------------------------------------------------------------

    def read(self, node: int, key: str, timeout: Duration, done: Done) -> None:
        """Read a key at the design's level."""
        self._ask(node, key, None, timeout, done)

    def write(self, node: int, key: str, value: int, timeout: Duration, done: Done) -> None:
        """Put a value at the design's level."""
        self._ask(node, key, value, timeout, done)

    def _ask(self, node: int, key: str, value: int | None, timeout: Duration, done: Done) -> None:
        self._token += 1
        token = self._token
        self._waiting[token] = Waiting(node=node, key=key, done=done, is_write=value is not None)
        self.world.at(self.world.now + timeout + MILLISECOND, lambda: self._give_up(token))
        host = self.cluster.hosts[NodeId(node)]
        request = Request(
            token,
            key.encode(),
            None if value is None else Put(b"%d" % value),
            context=self._contexts.get((node, key), b"") if self._has_siblings else b"",
            timeout=timeout,
        )
        host.call(Batch((request,), _wall_ns(host)))

    def _give_up(self, token: int) -> None:
        """End what its node did not: it died, or stands still."""
        waiting = self._waiting.pop(token, None)
        if waiting is not None:
            late = TimedOut("no answer in time") if waiting.is_write else Unreachable("no answer in time")
            waiting.settle(None, late)

    def _on_deliver(self, host: CoreHost, output: Output) -> None:
        match output:
            case Answered(token, cell):
                waiting = self._waiting.pop(token, None)
                if waiting is not None:
                    self._contexts[waiting.node, waiting.key] = self.rule.token(cell) if self._has_siblings else b""
                    waiting.settle(None if waiting.is_write else self._value(cell), None)
            case Failed(token, code, sentence, happened):
                waiting = self._waiting.pop(token, None)
                if waiting is not None:
                    waiting.settle(None, _error(code, sentence, happened, is_write=waiting.is_write))
            case _:
                pass  # members that come and go, cells that change

    def _value(self, cell: bytes) -> int | None:
        """Return what a client makes of a cell: of siblings the largest, a merge that fits numbers that only grow."""
        return max([int(value) for value in self.rule.seen(cell).values], default=None)


def _error(code: str, sentence: str, happened: str, *, is_write: bool) -> QuorateError:
    if happened == "maybe" and is_write:
        return TimedOut(sentence)
    return Unreachable(sentence) if code in {"UNREACHABLE", "TIMEDOUT"} else Refused(f"{code} {sentence}")


def _wall_ns(host: CoreHost) -> int:
    return host.now() + host.host.time.wall_offset_ns
