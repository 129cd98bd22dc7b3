"""The simulated world: a whole cluster in one process, under virtual time, from one seed."""

from quorate.sim.choices import Choices, Stream
from quorate.sim.disk import DiskPolicy, SimDisk
from quorate.sim.failures import Deadlock, Livelock, Overdue, ProgramFailed, Revoked, SimulationError
from quorate.sim.host import Host, Incarnation
from quorate.sim.links import LinkPolicy, Links, TCPPolicy
from quorate.sim.loop import SimLoop
from quorate.sim.partitions import SHAPES, Partitions, shape
from quorate.sim.scheduler import Scheduler
from quorate.sim.world import World

__all__ = [
    "SHAPES",
    "Choices",
    "Deadlock",
    "DiskPolicy",
    "Host",
    "Incarnation",
    "LinkPolicy",
    "Links",
    "Livelock",
    "Overdue",
    "Partitions",
    "ProgramFailed",
    "Revoked",
    "Scheduler",
    "SimDisk",
    "SimLoop",
    "SimulationError",
    "Stream",
    "TCPPolicy",
    "World",
    "shape",
]
