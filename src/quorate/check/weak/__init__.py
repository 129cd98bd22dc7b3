"""Models weaker than linearizability: sequential, causal in three forms, PRAM, the four session guarantees."""

from quorate.check.weak.causal import CAUSAL_MODELS, check_causal
from quorate.check.weak.sequential import check_pram, check_sequential
from quorate.check.weak.sessions import GUARANTEES, check_sessions

__all__ = ["CAUSAL_MODELS", "GUARANTEES", "check_causal", "check_pram", "check_sequential", "check_sessions"]
