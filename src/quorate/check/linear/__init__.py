"""Linearizability: two engines under alternating budgets, exact fast paths, small witnesses."""

from quorate.check.linear.depth import search_depth
from quorate.check.linear.frontier import search_frontier
from quorate.check.linear.judge import check
from quorate.check.linear.layers import judge_append_register, judge_set
from quorate.check.linear.oracle import brute_force
from quorate.check.linear.problem import Outcome, Problem
from quorate.check.linear.queues import judge_fifo_queue
from quorate.check.linear.race import race
from quorate.check.linear.registers import judge_register
from quorate.check.linear.stream import Stream, check_stream

__all__ = [
    "Outcome",
    "Problem",
    "Stream",
    "brute_force",
    "check",
    "check_stream",
    "judge_append_register",
    "judge_fifo_queue",
    "judge_register",
    "judge_set",
    "race",
    "search_depth",
    "search_frontier",
]
