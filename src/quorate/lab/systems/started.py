"""What every adapter that starts processes itself does alike: stop, kill at the end, tell what became of them."""

from pathlib import Path

from quorate.env import Address
from quorate.kernel import NodeId, errors
from quorate.lab.systems.base import SIGNALS, Signal
from quorate.lab.systems.clocks import FakeClocks
from quorate.lab.systems.processes import Children


class StartedSystem:
    """The part of an adapter that has nothing to do with which server it is; a base class, not a protocol."""

    # Why no clock of this system can be set wrong; nothing when it can.
    skew_refusal = ""

    name = ""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._children = Children()
        self._clocks: FakeClocks | None = None
        self._directory = Path()
        # Where clients reach each node; in the order of the nodes.
        self._doors: dict[NodeId, Address] = {}

    async def stop(self, node: NodeId, how: Signal) -> None:
        """Crash, pause or terminate a node."""
        for children in self._families():
            children.send(node, SIGNALS[how])

    def allow_skew(self) -> None:
        """Start all processes so that their wall clocks can be set later; called before `setup`.

        Raises:
            UsageError: this system's clock cannot be reached, or libfaketime is not installed.
        """
        if self.skew_refusal:
            raise errors.UsageError(f"no skew for {self.name}: {self.skew_refusal}")
        self._clocks = FakeClocks()
        for children in self._families():
            children.clocks = self._clocks

    def skew(self, node: NodeId, offset_s: float) -> None:
        """Let a node's wall clock differ from the true one by so many seconds; 0 sets it right."""
        assert self._clocks is not None, "skew was allowed before the processes started"
        self._clocks.set(node, offset_s)

    async def close(self) -> None:
        """Kill all nodes."""
        for children in self._families():
            children.close()
        if self._clocks is not None:
            self._clocks.close()

    def door(self, node: NodeId) -> Address:
        """Return where clients reach a node."""
        return self._doors[node]

    def trouble(self) -> str:
        """Say which node ended by itself, if one did."""
        return next(filter(None, (children.trouble() for children in self._families())), "")

    def cpu_s(self) -> float:
        """Return the processor time of all nodes so far, seconds."""
        return sum(children.cpu_s() for children in self._families())

    def _families(self) -> tuple[Children, ...]:
        """Return all processes; adapters with more than one kind of server name all kinds."""
        return (self._children,)

    def _answers(self, node: NodeId) -> bool:
        """Whether it is worth asking a node: a paused one would cost the whole time-out."""
        return self._children.is_running(node) and not self._children.is_paused(node)

    def _spread(self, process: int) -> NodeId:
        """Return the node that a client process talks to, where clients are spread by number."""
        nodes = list(self._doors)
        return nodes[process % len(nodes)]

    def _log(self, node: NodeId) -> Path:
        return self._directory / f"node-{node}.log"
