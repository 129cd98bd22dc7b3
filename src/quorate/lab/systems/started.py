"""What every adapter that starts processes itself does alike: stop, kill at the end, tell what became of them."""

from pathlib import Path

from quorate.env import Address
from quorate.kernel import NodeId
from quorate.lab.systems.base import SIGNALS, Signal
from quorate.lab.systems.processes import Children


class StartedSystem:
    """The part of an adapter that has nothing to do with which server it is; a base class, not a protocol."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._children = Children()
        self._directory = Path()
        # Where clients reach each node; in the order of the nodes.
        self._doors: dict[NodeId, Address] = {}

    async def stop(self, node: NodeId, how: Signal) -> None:
        """Crash, pause or terminate a node."""
        self._children.send(node, SIGNALS[how])

    async def close(self) -> None:
        """Kill all nodes."""
        self._children.close()

    def door(self, node: NodeId) -> Address:
        """Return where clients reach a node."""
        return self._doors[node]

    def trouble(self) -> str:
        """Say which node ended by itself, if one did."""
        return self._children.trouble()

    def cpu_s(self) -> float:
        """Return the processor time of all nodes so far, seconds."""
        return self._children.cpu_s()

    def _answers(self, node: NodeId) -> bool:
        """Whether it is worth asking a node: a paused one would cost the whole time-out."""
        return self._children.is_running(node) and not self._children.is_paused(node)

    def _spread(self, process: int) -> NodeId:
        """Return the node that a client process talks to, where clients are spread by number."""
        nodes = list(self._doors)
        return nodes[process % len(nodes)]

    def _log(self, node: NodeId) -> Path:
        return self._directory / f"node-{node}.log"
