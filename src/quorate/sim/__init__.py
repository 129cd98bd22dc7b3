"""The simulated world: a whole cluster in one process, under virtual time, from one seed."""

from quorate.sim.choices import Choices, Stream
from quorate.sim.core import CoreCluster, CoreHost
from quorate.sim.disk import DiskPolicy, SimDisk
from quorate.sim.failures import Deadlock, Livelock, Overdue, ProgramFailed, Revoked, SimulationError, Unsimulated
from quorate.sim.faults import (
    Clog,
    Crash,
    Fault,
    FaultSchedule,
    Heal,
    Mix,
    Partition,
    Pause,
    Planned,
    Restart,
    Rot,
    Skew,
    Stall,
    Tear,
    kind_of,
)
from quorate.sim.host import Host, Incarnation
from quorate.sim.links import LinkPolicy, Links, TCPPolicy
from quorate.sim.loop import SimLoop
from quorate.sim.nemesis import Aim, Atlas, Nemesis, Target
from quorate.sim.partitions import SHAPES, Partitions, shape
from quorate.sim.phases import NoProgress, choose_quorum, demand_progress
from quorate.sim.scheduler import Scheduler
from quorate.sim.shrink import RunPlan, minimal, shrink
from quorate.sim.world import World

__all__ = [
    "SHAPES",
    "Aim",
    "Atlas",
    "Choices",
    "Clog",
    "CoreCluster",
    "CoreHost",
    "Crash",
    "Deadlock",
    "DiskPolicy",
    "Fault",
    "FaultSchedule",
    "Heal",
    "Host",
    "Incarnation",
    "LinkPolicy",
    "Links",
    "Livelock",
    "Mix",
    "Nemesis",
    "NoProgress",
    "Overdue",
    "Partition",
    "Partitions",
    "Pause",
    "Planned",
    "ProgramFailed",
    "Restart",
    "Revoked",
    "Rot",
    "RunPlan",
    "Scheduler",
    "SimDisk",
    "SimLoop",
    "SimulationError",
    "Skew",
    "Stall",
    "Stream",
    "TCPPolicy",
    "Target",
    "Tear",
    "Unsimulated",
    "World",
    "choose_quorum",
    "demand_progress",
    "kind_of",
    "minimal",
    "shape",
    "shrink",
]
