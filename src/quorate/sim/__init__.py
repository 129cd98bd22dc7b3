"""The simulated world: a whole cluster in one process, under virtual time, from one seed."""

from quorate.sim.audit_log import StepLog
from quorate.sim.auditing import Diverged, audit
from quorate.sim.choices import Choices, Stream
from quorate.sim.core import CoreCluster, CoreHost
from quorate.sim.disk import DiskPolicy, SimDisk
from quorate.sim.env import make_env
from quorate.sim.failures import (
    Deadlock,
    Livelock,
    Overdue,
    ProgramFailed,
    Revoked,
    ScriptFailed,
    SimulationError,
    Unsimulated,
)
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
    Wipe,
    kind_of,
)
from quorate.sim.foreign import serial_hashes
from quorate.sim.host import Host, Incarnation
from quorate.sim.links import LinkPolicy, Links, TCPPolicy
from quorate.sim.loop import SimLoop
from quorate.sim.nemesis import Aim, Atlas, Nemesis, Target
from quorate.sim.observer import Observer, Sight, diagram
from quorate.sim.partitions import SHAPES, Partitions, shape
from quorate.sim.phases import NoProgress, choose_quorum, demand_progress
from quorate.sim.scheduler import Scheduler
from quorate.sim.shrink import RunPlan, minimal, shrink
from quorate.sim.simulated_test import FailedElsewhere, campaign, settings, simulate
from quorate.sim.simulated_trial import Outcome, Recipe, Setup, run_trial, shrink_trial
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
    "Diverged",
    "FailedElsewhere",
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
    "Observer",
    "Outcome",
    "Overdue",
    "Partition",
    "Partitions",
    "Pause",
    "Planned",
    "ProgramFailed",
    "Recipe",
    "Restart",
    "Revoked",
    "Rot",
    "RunPlan",
    "Scheduler",
    "ScriptFailed",
    "Setup",
    "Sight",
    "SimDisk",
    "SimLoop",
    "SimulationError",
    "Skew",
    "Stall",
    "StepLog",
    "Stream",
    "TCPPolicy",
    "Target",
    "Tear",
    "Unsimulated",
    "Wipe",
    "World",
    "audit",
    "campaign",
    "choose_quorum",
    "demand_progress",
    "diagram",
    "kind_of",
    "make_env",
    "minimal",
    "run_trial",
    "serial_hashes",
    "settings",
    "shape",
    "shrink",
    "shrink_trial",
    "simulate",
]
