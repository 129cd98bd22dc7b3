"""What every design's cluster offers to the load: reads and writes through a node, and when it has converged."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from quorate.kernel import Duration, NodeId
from quorate.lab.compare.wire import Meter

if TYPE_CHECKING:
    from quorate.sim import CoreCluster, World

Done = Callable[[int | None, Exception | None], None]
"""Called once with what was read (None: nothing there; writes: None), or with an error."""


class Deployment(ABC):
    """One design's machines on a simulated world. Nodes are numbered from 1; values are integers, each written once."""

    cluster: "CoreCluster"

    def __init__(self, world: "World") -> None:
        self.world = world
        self.meter = Meter()

    @abstractmethod
    def prepare(self) -> None:
        """Start all nodes and bring them to where the load may begin; node 1 leads, where somebody leads."""

    @abstractmethod
    def read(self, node: int, key: str, timeout: Duration, done: Done) -> None:
        """Read a key through a node that runs."""

    @abstractmethod
    def write(self, node: int, key: str, value: int, timeout: Duration, done: Done) -> None:
        """Write a key through a node that runs."""

    @abstractmethod
    def mark(self) -> None:
        """Remember what the cluster as a whole knows now: `has_converged` asks for that everywhere."""

    @abstractmethod
    def has_converged(self) -> bool:
        """Return whether every node that runs has what it should have of what was known at `mark`."""

    @abstractmethod
    def copies(self) -> dict[int, int]:
        """Return how many copies of keys each node holds."""

    def restart(self, node: int) -> None:
        """Start a node again that was killed, or had no power."""
        self.cluster.hosts[NodeId(node)].restart()
