"""Weaker than linearizable: sequential, causal in three forms, PRAM, session guarantees, bounded staleness."""

from quorate.check.weak.causal import CAUSAL_MODELS, check_causal
from quorate.check.weak.sequential import check_pram, check_sequential
from quorate.check.weak.sessions import GUARANTEES, check_sessions
from quorate.check.weak.staleness import StaleRead, check_staleness, find_stale_reads

__all__ = [
    "CAUSAL_MODELS",
    "GUARANTEES",
    "StaleRead",
    "check_causal",
    "check_pram",
    "check_sequential",
    "check_sessions",
    "check_staleness",
    "find_stale_reads",
]
