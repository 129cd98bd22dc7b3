"""Every bound of anti-entropy, with what grows when it grows."""

import msgspec

from quorate.kernel import Duration, NodeId, milliseconds, seconds
from quorate.kernel.errors import ConfigError


class AntiEntropyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told at birth."""

    # This node.
    node: NodeId

    # Exchanges begin, and budgets are filled, once in this span. Smaller: sooner found, more often disturbed.
    interval: Duration = seconds(1)

    # Every peer and range is compared once in this span, in a random order. A quiet cluster sends about 30 bytes per
    # peer and range in it. Smaller: differences live shorter.
    cycle: Duration = seconds(10)

    # Comparisons that begin in one interval, over all peers. Fewer than a cycle needs: cycles grow longer.
    range_count: int = 64

    # Peers compared with at one time.
    exchange_count_max: int = 4

    # Keys named as different per second; what is beyond waits for the next interval. Bounds the repair that follows.
    key_rate: int = 2_000

    # Digests (8 bytes) in one message; a larger number makes fewer round trips and longer messages.
    digest_count_max: int = 2_048

    # A run with at most so many keys here is listed, not cut further. Larger: fewer round trips, more digests of keys
    # that are equal (8 bytes each, against 128 for one more cut).
    list_key_count: int = 32

    # A run in which more keys than this would be named is cut further; an answer with so many is full.
    name_count_max: int = 256

    # Bytes of keys in one answer, after which the rest is asked again.
    name_bytes_max: int = 262_144

    # A question is repeated when its answer is so late, and given up after so many attempts.
    answer_timeout: Duration = milliseconds(1_000)
    attempt_count: int = 3

    def __post_init__(self) -> None:
        if self.node < 1:
            raise ConfigError("node: 1 or more")
        for name in ("interval", "cycle", "answer_timeout"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: above 0")
        for name in ("range_count", "exchange_count_max", "key_rate", "list_key_count", "name_count_max"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: 1 or more")
        if self.attempt_count < 1 or self.name_bytes_max < 1:
            raise ConfigError("attempt_count, name_bytes_max: 1 or more")
        if self.digest_count_max < max(32, self.list_key_count):
            raise ConfigError("digest_count_max: 32 or more, and not below list_key_count, or a run does not fit")
