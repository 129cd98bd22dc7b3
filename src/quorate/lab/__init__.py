"""The laboratory: trials of real processes, with faults, verdicts and reports."""

from quorate.lab.bench import BenchOptions, BenchResult, run_bench
from quorate.lab.faults import FAULT_NAMES, PlannedFault, plan_faults
from quorate.lab.judging import judge_file
from quorate.lab.options import TrialOptions, TrialResult
from quorate.lab.ports import free_address
from quorate.lab.proxy import Conditions, Links
from quorate.lab.systems import (
    SIGNALS,
    SYSTEM_NAMES,
    Children,
    Client,
    EtcdSystem,
    Leadership,
    QuorateSystem,
    RedisSystem,
    Signal,
    System,
    make_system,
)
from quorate.lab.trial import run_trial

__all__ = [
    "FAULT_NAMES",
    "SIGNALS",
    "SYSTEM_NAMES",
    "BenchOptions",
    "BenchResult",
    "Children",
    "Client",
    "Conditions",
    "EtcdSystem",
    "Leadership",
    "Links",
    "PlannedFault",
    "QuorateSystem",
    "RedisSystem",
    "Signal",
    "System",
    "TrialOptions",
    "TrialResult",
    "free_address",
    "judge_file",
    "make_system",
    "plan_faults",
    "run_bench",
    "run_trial",
]
