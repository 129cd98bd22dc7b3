"""Every bound of a SWIM member, with its formula and what grows when it grows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Self

import msgspec

from quorate.kernel import Duration, NodeId, milliseconds, seconds
from quorate.kernel.errors import ConfigError
from quorate.protocols.swim.members import METADATA_BYTES_MAX, Known

# Values of hashicorp/memberlist's three default configurations.
PROFILES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "local": {
            "probe_timeout": milliseconds(200),
            "indirect_count": 1,
            "suspicion_multiplier": 3,
            "retransmit_multiplier": 2,
            "gossip_interval": milliseconds(100),
            "sync_interval": seconds(15),
            "dead_gossip_span": seconds(15),
        },
        "lan": {},
        "wan": {
            "probe_interval": seconds(5),
            "probe_timeout": seconds(3),
            "suspicion_multiplier": 6,
            "gossip_interval": milliseconds(500),
            "gossip_count": 4,
            "sync_interval": seconds(60),
            "dead_gossip_span": seconds(60),
        },
    }
)


class SwimConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a member is told at birth; the defaults are those of the LAN profile."""

    # This node.
    node: NodeId

    # Through whom to join; empty: begin alone, or with `known`.
    seeds: tuple[NodeId, ...] = ()

    # Members that are known from the start, this node perhaps among them.
    known: Known = msgspec.field(default_factory=Known)

    # Of this node, for the others; at most 512 bytes.
    metadata: bytes = b""

    # One member is probed per interval. Larger: less traffic (2 small messages per member and interval), slower
    # detection: e / (e - 1) intervals until somebody probes a dead member, on average.
    probe_interval: Duration = seconds(1)

    # Waited for an answer before others are asked; above the round trip's 99th percentile, below the interval.
    probe_timeout: Duration = milliseconds(500)

    # Members asked to probe in our stead. Larger: fewer false accusations under loss, 4 more messages each.
    indirect_count: int = 3

    # A suspect has multiplier * max(1, log10(members)) probe intervals to refute, at least.
    suspicion_multiplier: int = 4

    # At most so many times as much, while few accuse (Lifeguard).
    suspicion_max_multiplier: int = 6

    # A rumour is told multiplier * ceil(log10(members + 1)) times by each member. Larger: surer, more bytes.
    retransmit_multiplier: int = 4

    # While there are rumours, so many members are told every interval.
    gossip_interval: Duration = milliseconds(200)
    gossip_count: int = 3

    # Tables are compared with one random member every interval, which grows by ceil(log2(members) - 5) times above
    # 32 members.
    sync_interval: Duration = seconds(30)

    # The dead are still told rumours for so long, so that one that lives can refute.
    dead_gossip_span: Duration = seconds(30)

    # The dead are remembered for so long; longer than any message or partition may last, or they come back as phantoms.
    dead_retention: Duration = seconds(24 * 3600)

    # Pause between attempts to join; doubles up to 32 times.
    join_interval: Duration = seconds(1)

    # Largest datagram; rumours fill what is left.
    message_bytes_max: int = 1_400

    # Local health is from 0 to this minus 1; probe interval and timeout are multiplied by health + 1.
    health_max: int = 8

    # Members beyond are refused: a peer that invents nodes costs no more memory than this.
    member_count_max: int = 100_000

    # Probes that this node makes for others at one time; more are ignored.
    relay_count_max: int = 1_024

    # The three parts of Lifeguard.
    local_health: bool = True
    dynamic_suspicion: bool = True
    buddy: bool = True

    def __post_init__(self) -> None:
        if self.node < 1:
            raise ConfigError("node: 1 or more")
        if self.node in self.seeds:
            raise ConfigError("seeds: a node cannot join through itself")
        if len(self.metadata) > METADATA_BYTES_MAX:
            raise ConfigError(f"metadata: at most {METADATA_BYTES_MAX} bytes")
        if not 0 < self.probe_timeout < self.probe_interval:
            raise ConfigError("probe_timeout: above 0 and below probe_interval, or nobody can probe in our stead")
        names = ("suspicion_multiplier", "suspicion_max_multiplier", "retransmit_multiplier", "gossip_count")
        for name in (*names, "health_max", "member_count_max", "relay_count_max"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: 1 or more")
        for name in ("gossip_interval", "sync_interval", "dead_retention", "join_interval"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: above 0")
        if self.indirect_count < 0 or self.dead_gossip_span < 0:
            raise ConfigError("indirect_count, dead_gossip_span: 0 or more")
        if self.message_bytes_max < 2 * METADATA_BYTES_MAX:
            raise ConfigError(f"message_bytes_max: at least {2 * METADATA_BYTES_MAX}, to carry any one rumour")

    @classmethod
    def profile(cls, name: str, *, node: NodeId, **fields: Any) -> Self:  # Any: the types of the fields
        """Return the values for a kind of network, with some of them changed.

        Args:
            name: local (one machine), lan or wan.
            node: this node.
            fields: what differs from the profile.

        Raises:
            ConfigError: there is no such profile, or the values cannot be used.

        Source: hashicorp/memberlist, config.go: the three default configurations.
        """
        values = PROFILES.get(name)
        if values is None:
            raise ConfigError(f"profile: one of {', '.join(PROFILES)}, not {name!r}")
        return cls(node=node, **{**values, **fields})

    def without_lifeguard(self) -> "SwimConfig":
        """Return the same with plain suspicion only, for comparison."""
        return msgspec.structs.replace(self, local_health=False, dynamic_suspicion=False, buddy=False)
