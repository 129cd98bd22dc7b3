"""Elections that need no log: bully and ring. Source: Garcia-Molina 1982; Le Lann 1977; Chang & Roberts 1979."""

from quorate.protocols.election.bully import BULLY_MESSAGES, Answer, Bully, Election
from quorate.protocols.election.elector import (
    TRANSITIONS,
    ElectionConfig,
    Elector,
    Lead,
    LeaderChanged,
    LeadResult,
    Promised,
    leaders,
)
from quorate.protocols.election.ring import RING_MESSAGES, Circulate, CirculateResult, Elected, Ring
from quorate.protocols.election.tokens import FencedResource, Token

__all__ = [
    "BULLY_MESSAGES",
    "RING_MESSAGES",
    "TRANSITIONS",
    "Answer",
    "Bully",
    "Circulate",
    "CirculateResult",
    "Elected",
    "Election",
    "ElectionConfig",
    "Elector",
    "FencedResource",
    "Lead",
    "LeadResult",
    "LeaderChanged",
    "Promised",
    "Ring",
    "Token",
    "leaders",
]
