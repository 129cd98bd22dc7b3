"""The experiment in the simulated world: exact, and the same again from the same seed."""

import random
from collections.abc import Callable, Sequence

from quorate.kernel import Duration, NodeId, Output, Record, milliseconds
from quorate.lab.elections.experiment import (
    ACKNOWLEDGE_SPAN,
    KINDS,
    LEADER,
    NODES,
    PAUSE,
    SIDES,
    WRITE_DELAY,
    WRITE_INTERVAL,
    Attempt,
    CureRow,
    ElectionOptions,
    Run,
    election_config,
    row_of,
)
from quorate.protocols.election import Elector, LeaderChanged, Token
from quorate.sim import CoreCluster, CoreHost, World

FIRST_WRITE = milliseconds(1)


class _Simulated:
    """One run."""

    def __init__(self, run: Run, seed: int) -> None:
        self.run = run
        self.world = World(seed)
        self._machine, codec = KINDS[run.kind]
        self.cluster = CoreCluster(self.world, self._make, NODES, codec=codec, on_deliver=self._on_deliver)
        # Leaderships that may write: with STONITH, those behind which the others are dead.
        self._cleared: dict[Token, None] = {}

    def _make(self, node: NodeId, records: list[Record], rng: random.Random) -> Elector:
        return self._machine(election_config(self.run.kind, self.run.cure, node), records, rng)

    def _on_deliver(self, host: CoreHost, output: Output) -> None:
        if not isinstance(output, LeaderChanged) or not output.is_self:
            return
        if self.run.cure != "stonith":
            self._cleared[output.token] = None
            return
        self.world.at(self.world.now + ACKNOWLEDGE_SPAN, lambda: self._shoot(host, output.token))

    def _shoot(self, host: CoreHost, token: Token) -> None:
        """Kill whoever has not acknowledged a leader, if it still leads."""
        machine = host.machine
        assert isinstance(machine, Elector), "this experiment is about elections"
        if not host.is_running or machine.role_name != "leader" or machine.token != token:
            return
        for node, other in self.cluster.hosts.items():
            if node != host.node and node not in machine.acknowledged and other.is_running:
                other.crash()
                self.run.killed.append(node)
        self._cleared[token] = None

    def _write(self) -> None:
        """Let every leader decide to write, and come again."""
        for host in self.cluster.hosts.values():
            machine = host.machine
            assert isinstance(machine, Elector), "this experiment is about elections"
            is_awake = host.is_running and not host.is_paused
            if is_awake and machine.role_name == "leader" and machine.token in self._cleared:
                self._arrive_later(host, machine.token)
        self.world.at(self.world.now + WRITE_INTERVAL, self._write)

    def _arrive_later(self, host: CoreHost, token: Token) -> None:
        self.world.at(self.world.now + WRITE_DELAY, lambda: self._arrive(host, token))

    def _arrive(self, host: CoreHost, token: Token) -> None:
        """Take a write; that of a node that stands still comes when it goes on: it has decided already."""
        if host.is_paused and host.is_running:
            self._arrive_later(host, token)
        elif host.is_running:
            self.run.attempts.append(Attempt(self.world.now, host.node, token))

    def go(self, span: Duration) -> CureRow:
        """Elect, harm, wait; return what was counted."""
        self.cluster.start()
        self.world.at(self.world.now + FIRST_WRITE, self._write)
        self.cluster.run_for(PAUSE)
        # Between deciding to write and writing: a check that was right when it was made.
        self.cluster.run_for(Duration(FIRST_WRITE + WRITE_DELAY // 2))
        self.run.begin_ns = self.world.now
        if self.run.harm == "partition":
            self.world.partitions.split([[self.cluster.hosts[node].number for node in side] for side in SIDES])
            self.cluster.run_for(span)
        else:
            self.cluster.hosts[LEADER].pause()
            self.cluster.run_for(Duration(span // 2))
            self.cluster.hosts[LEADER].resume()
            self.cluster.run_for(Duration(span // 2))
        self.run.end_ns = self.world.now
        return row_of(self.run, is_real=False)


def compare_elections(
    options: ElectionOptions, *, on_row: Callable[[CureRow], None] | None = None
) -> Sequence[CureRow]:
    """Run every election with every cure under every harm. Complexity: under a second of work each."""
    rows = []
    for run in options.runs():
        rows.append(_Simulated(run, options.seed).go(options.span))
        if on_row is not None:
            on_row(rows[-1])
    return rows
