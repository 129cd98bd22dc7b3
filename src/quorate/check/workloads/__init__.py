"""Judges of single workloads: linear, and blind to what their workload cannot show."""

from quorate.check.workloads.collections import check_counter, check_set_full, check_total_queue, check_unique_ids
from quorate.check.workloads.logs import check_kafka
from quorate.check.workloads.transfers import check_bank, check_causal_reverse, check_long_fork

__all__ = [
    "check_bank",
    "check_causal_reverse",
    "check_counter",
    "check_kafka",
    "check_long_fork",
    "check_set_full",
    "check_total_queue",
    "check_unique_ids",
]
