"""Anti-entropy: replicas find the keys in which they differ. Source: Dynamo (2007), section 4.7; Merkle 1987."""

from quorate.protocols.anti_entropy.calls import (
    AntiEntropyCall,
    Changed,
    CompareAll,
    PeerDown,
    PeerUp,
    Reshape,
    SharedRange,
    Tick,
)
from quorate.protocols.anti_entropy.config import AntiEntropyConfig
from quorate.protocols.anti_entropy.core import AntiEntropy
from quorate.protocols.anti_entropy.exchanges import Exchange, Work
from quorate.protocols.anti_entropy.index import Index, digest_of
from quorate.protocols.anti_entropy.intervals import Interval, pieces
from quorate.protocols.anti_entropy.messages import (
    MESSAGES,
    Answer,
    AntiEntropyMessage,
    Ask,
    Decline,
    Listing,
    Names,
    Sums,
)
from quorate.protocols.anti_entropy.outputs import Agreed, AntiEntropyOutput, Divergent

__all__ = [
    "MESSAGES",
    "Agreed",
    "Answer",
    "AntiEntropy",
    "AntiEntropyCall",
    "AntiEntropyConfig",
    "AntiEntropyMessage",
    "AntiEntropyOutput",
    "Ask",
    "Changed",
    "CompareAll",
    "Decline",
    "Divergent",
    "Exchange",
    "Index",
    "Interval",
    "Listing",
    "Names",
    "PeerDown",
    "PeerUp",
    "Reshape",
    "SharedRange",
    "Sums",
    "Tick",
    "Work",
    "digest_of",
    "pieces",
]
