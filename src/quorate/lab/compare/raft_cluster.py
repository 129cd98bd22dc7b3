"""Raft as a deployment: any node takes requests, forwards writes to the leader, and answers from its own apply."""

from functools import partial
from random import Random

import msgspec

from quorate.kernel import MILLISECOND, Duration, LogIndex, NodeId, Output, Record, seconds
from quorate.kernel.errors import TimedOut, Unreachable
from quorate.lab.compare.deployment import Deployment, Done
from quorate.lab.compare.spec import RaftDesign
from quorate.lab.compare.wire import HEADER_BYTES, MeteredCodec
from quorate.lab.simulation.register_machine import Change, Registers, decode, encode
from quorate.protocols.raft import (
    COMMAND,
    MESSAGES,
    Committed,
    Configuration,
    Entry,
    Leader,
    Propose,
    Raft,
    RaftConfig,
    Read,
    ReadFailed,
    ReadReady,
    Refused,
    TransferLeadership,
)
from quorate.sim import CoreCluster, CoreHost, World

READY_BOUND = seconds(20)
# A request that finds no leader tries again after this.
RETRY = 20 * MILLISECOND
_TRANSFER_TOKEN = 1 << 60


class Request(msgspec.Struct, kw_only=True, eq=False):
    """One request of a client, at the node that it came to."""

    token: int
    key: str
    done: Done
    deadline: int
    # Of a write; None: a read.
    value: int | None = None
    # Whether it may be in somebody's log.
    is_sent: bool = False
    is_over: bool = False

    def settle(self, result: int | None, error: Exception | None) -> None:
        """Answer it, once."""
        if not self.is_over:
            self.is_over = True
            self.done(result, error)


class _Around:
    """What surrounds one node's machine; made anew with every life."""

    def __init__(self) -> None:
        self.state = Registers()
        self.requests: dict[int, Request] = {}
        # Reads that wait for an index to be applied.
        self.ready: list[tuple[LogIndex, Request]] = []


class RaftCluster(Deployment):
    """A Raft group with a voter on every node."""

    def __init__(self, design: RaftDesign, world: World, node_count: int) -> None:
        super().__init__(world)
        self.design = design
        numbers = list(range(1, node_count + 1))
        self._founders = Configuration(tuple([NodeId(number) for number in numbers]))
        self._around: dict[NodeId, _Around] = {}
        self._token = 0
        self._target = LogIndex(0)
        self.cluster = CoreCluster(
            world, self._make, numbers, codec=MeteredCodec(MESSAGES, self.meter), on_deliver=self._on_deliver
        )

    def _make(self, node: NodeId, records: list[Record], rng: Random) -> Raft:
        old = self._around.get(node)
        for request in list(old.requests.values()) if old is not None else []:
            request.settle(None, TimedOut("the node died"))
        self._around[node] = _Around()
        election = Duration(self.design.election_ms * MILLISECOND)
        config = RaftConfig(
            node=node,
            configuration=self._founders,
            election_timeout=election,
            heartbeat_interval=Duration(election // 5),
            lease_reads=self.design.lease,
        )
        return Raft(config, records, rng)

    # -- life ---------------------------------------------------------------------------------------------------------

    def leader(self) -> NodeId | None:
        """Return who leads in the newest term."""
        leaders = [machine for machine in self._machines() if isinstance(machine.role, Leader)]
        return max(leaders, key=lambda machine: machine.term).node if leaders else None

    def prepare(self) -> None:
        """Start all nodes; wait until node 1 leads and everybody has applied its first entry."""
        self.cluster.start()
        first = NodeId(1)

        def is_ready() -> bool:
            leader = self.leader()
            if leader is not None and leader != first:
                self.cluster.hosts[leader].call(TransferLeadership(first, _TRANSFER_TOKEN))
            commits = {around.state.applied_index for around in self._around.values()}
            return leader == first and len(commits) == 1 and min(commits) > 0

        done = self.cluster.run_until(is_ready, timeout=READY_BOUND, period=Duration(50 * MILLISECOND))
        assert done, "a healthy group elects whom it is asked to"

    def mark(self) -> None:
        """Remember the highest committed index."""
        self._target = max([machine.commit_index for machine in self._machines()], default=LogIndex(0))

    def has_converged(self) -> bool:
        """Return whether every node has applied it."""
        return all(
            host.is_running and self._around[node].state.applied_index >= self._target
            for node, host in self.cluster.hosts.items()
        )

    def copies(self) -> dict[int, int]:
        """Return how many keys each node has: all of them."""
        return {int(node): len(around.state.values) for node, around in self._around.items()}

    def _machines(self) -> list[Raft]:
        return [host.machine for host in self.cluster.hosts.values() if host.is_running]  # type: ignore[misc]

    # -- requests -----------------------------------------------------------------------------------------------------

    def read(self, node: int, key: str, timeout: Duration, done: Done) -> None:
        """Read through a node; linearizable."""
        request = self._request(node, key, None, timeout, done)
        self._ask(NodeId(node), request)

    def write(self, node: int, key: str, value: int, timeout: Duration, done: Done) -> None:
        """Write through a node, which forwards it if it does not lead."""
        request = self._request(node, key, value, timeout, done)
        self._propose(NodeId(node), request)

    def _request(self, node: int, key: str, value: int | None, timeout: Duration, done: Done) -> Request:
        self._token += 1
        request = Request(token=self._token, key=key, done=done, deadline=self.world.now + timeout, value=value)
        self._around[NodeId(node)].requests[request.token] = request
        self.world.at(request.deadline, lambda: self._give_up(NodeId(node), request))
        return request

    def _give_up(self, node: NodeId, request: Request) -> None:
        self._around[node].requests.pop(request.token, None)
        if request.value is not None and request.is_sent:
            request.settle(None, TimedOut("no answer in time"))
        else:
            request.settle(None, Unreachable("no leader in time"))

    def _is_waiting(self, node: NodeId, request: Request) -> bool:
        return not request.is_over and self.cluster.hosts[node].is_running

    def _ask(self, node: NodeId, request: Request) -> None:
        if self._is_waiting(node, request):
            self.cluster.hosts[node].call(Read(request.token))

    def _propose(self, node: NodeId, request: Request) -> None:
        """Give a write to the leader that this node believes in; wait when there is none."""
        if not self._is_waiting(node, request):
            return
        host = self.cluster.hosts[node]
        role = host.machine.role  # type: ignore[attr-defined]  # it is a Raft machine
        leader = node if isinstance(role, Leader) else getattr(role, "leader", None)
        if leader is None:
            self._later(node, request)
            return
        assert request.value is not None, "only writes are proposed"
        request.is_sent = True
        payload = encode(Change(node, request.token, "write", request.key, request.value))
        call = Propose((payload,), request.token, origin=node)
        if leader == node:
            host.call(call)
            return
        self._carry(host, self.cluster.hosts[leader], len(payload), partial(self._forwarded, call, leader))

    def _forwarded(self, call: Propose, leader: NodeId) -> None:
        self.cluster.hosts[leader].call(call)

    def _later(self, node: NodeId, request: Request) -> None:
        self.world.at(self.world.now + RETRY, lambda: self._propose(node, request))

    def _carry(self, source: CoreHost, target: CoreHost, byte_count: int, arrive: partial[None]) -> None:
        """Carry a frame between two nodes' surroundings over their link, as a datagram."""
        self.meter.sent("Forward", byte_count)
        world, links = self.world, self.world.links
        delays = links.datagram_delays(
            source.number, target.number, now=world.now, byte_count=byte_count + HEADER_BYTES
        )  # fmt: skip

        def take() -> None:
            if target.is_running and not links.is_cut(source.number, target.number):
                arrive()

        for delay in delays[:1]:
            world.at(world.now + delay, take)

    # -- outputs ------------------------------------------------------------------------------------------------------

    def _on_deliver(self, host: CoreHost, output: Output) -> None:
        around = self._around[host.node]
        match output:
            case Committed(entries):
                for entry in entries:
                    self._apply(host.node, around, entry)
            case ReadReady(token, index):
                request = around.requests.get(token)
                if request is not None:
                    around.ready.append((index, request))
                    self._serve(around)
            case ReadFailed(token):
                request = around.requests.get(token)
                if request is not None:
                    again = partial(self._ask, host.node, request)
                    self.world.at(self.world.now + RETRY, again)
            case Refused(token):
                self._refused(host, token)
            case _:
                pass  # terms and roles answer nobody

    def _refused(self, host: CoreHost, token: int) -> None:
        """Tell the origin of a write that it did not get into the log; it tries again."""
        for node, around in self._around.items():
            request = around.requests.get(token)
            if request is None:
                continue
            if node == host.node:
                self._again(node, request)
            else:
                self._carry(host, self.cluster.hosts[node], 8, partial(self._again, node, request))

    def _again(self, node: NodeId, request: Request) -> None:
        request.is_sent = False
        self._later(node, request)

    def _apply(self, node: NodeId, around: _Around, entry: Entry) -> None:
        change = decode(entry.payload) if entry.kind == COMMAND else None
        around.state.apply(entry.index, entry.term, change)
        if change is not None and change.origin == node:
            request = around.requests.pop(change.number, None)
            if request is not None:
                request.settle(None, None)
        self._serve(around)

    def _serve(self, around: _Around) -> None:
        if not around.ready:
            return
        due = [request for index, request in around.ready if index <= around.state.applied_index]
        around.ready = [pair for pair in around.ready if pair[0] > around.state.applied_index]
        for request in due:
            around.requests.pop(request.token, None)
            request.settle(around.state.values.get(request.key), None)
