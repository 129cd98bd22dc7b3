"""Two leaders at one time, and what quorum, fencing tokens and STONITH each cure; simulated and real."""

from quorate.lab.elections.display import print_elections
from quorate.lab.elections.experiment import CURES, HARMS, KINDS, NODES, Attempt, CureRow, ElectionOptions, Run, row_of
from quorate.lab.elections.real import Supervisor, compare_elections_really, run_really
from quorate.lab.elections.simulated import compare_elections

__all__ = [
    "CURES",
    "HARMS",
    "KINDS",
    "NODES",
    "Attempt",
    "CureRow",
    "ElectionOptions",
    "Run",
    "Supervisor",
    "compare_elections",
    "compare_elections_really",
    "print_elections",
    "row_of",
    "run_really",
]
