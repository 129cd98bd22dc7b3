"""Every bound of a Raft node, with its formula and what grows when it grows."""

import msgspec

from quorate.kernel import MILLISECOND, Duration, NodeId
from quorate.kernel.errors import ConfigError
from quorate.protocols.raft.entries import Configuration


class RaftConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a Raft node is told at birth. Timeouts and switches should be the same on all nodes of a group."""

    # This node.
    node: NodeId

    # The members at the very beginning; used only while there are no records. The founders of a group all have the
    # same one; a node that joins later has none (no voters) and waits until a leader speaks to it.
    configuration: Configuration

    # T. A follower campaigns when it has heard no leader for a time drawn from [T, 2T); a leader steps down when it
    # has heard no quorum for T; a voter that heard a leader within T refuses to vote. Time without a leader after a
    # crash is about T * (1 + 1 / voters). At least 2 * heartbeat_interval. Larger: fewer false elections on slow
    # networks and busy machines, longer outages.
    election_timeout: Duration = Duration(500 * MILLISECOND)

    # A leader speaks to each peer at least once in two intervals, at multiples of the interval on its own clock, so
    # that all groups of a node beat together. Idle traffic is 2 * peers / interval. Larger: less traffic, later
    # discovery of lost messages; must stay well below T.
    heartbeat_interval: Duration = Duration(100 * MILLISECOND)

    # Payload bytes in one AppendEntries; a single larger entry goes alone. Larger: faster catch-up, longer stalls of
    # everything else on the link.
    append_bytes_max: int = 1 << 20

    # AppendEntries with entries, sent to one peer and not acknowledged. Memory is count * append_bytes_max at worst,
    # bounded by the next value. Larger: fuller pipe on long links (bandwidth * delay / message size).
    inflight_count_max: int = 256

    # Payload bytes sent to one peer and not acknowledged; one message may exceed it. Larger: fuller pipe, more memory.
    inflight_bytes_max: int = 64 << 20

    # Payload bytes in the leader's log that are not committed; proposals beyond are refused as "overloaded". One
    # proposal may exceed it when nothing else waits. Larger: bigger bursts, and a longer queue when a quorum is lost.
    uncommitted_bytes_max: int = 64 << 20

    # Entries kept in memory behind a checkpoint, so that a peer that was away for a moment needs no snapshot. Larger:
    # longer absences without a snapshot, more memory.
    trailing_entry_count: int = 5_000

    # Payload bytes of those entries; whichever bound is met first holds.
    trailing_bytes_max: int = 64 << 20

    # Reads that wait for a round of heartbeats (one per turn of the loop and asking node); more fail at once.
    read_count_max: int = 4_096

    # Ask whether an election could be won before raising the term (thesis §9.6), so that a node that was cut off
    # does not depose a good leader on return.
    pre_vote: bool = True

    # A leader that hears no quorum for T steps down, and voters that heard a leader within T refuse to vote (thesis
    # §6.2 and §4.2.3).
    check_quorum: bool = True

    # Serve reads without a round of heartbeats while the last round that a quorum acknowledged was sent less than
    # T * (1 - d) / (1 + d) ago, with d = clock_drift_ppm / 1e6 (thesis §6.4.1). Needs check_quorum. Off by default:
    # it is only as safe as the clocks.
    lease_reads: bool = False

    # How far the rate of any node's clock may be from true time, in parts per million. A pause of the whole process
    # is no drift: the clock goes on. Larger: shorter leases.
    clock_drift_ppm: int = 10_000

    # Tell all followers of new commitment at once, not with the next message or beat. Costs one small message per peer
    # and commit. Without it only those on whose behalf something was proposed are told (see `Propose.origin`).
    notify_commit: bool = True

    def __post_init__(self) -> None:
        if not self.configuration.is_well_formed or self.configuration.is_joint:
            raise ConfigError("configuration: sorted voters and learners, each node once, not joint")
        if self.node < 1:
            raise ConfigError("node: 1 or more")
        if self.heartbeat_interval < 1 or self.election_timeout < 2 * self.heartbeat_interval:
            raise ConfigError("election_timeout: at least twice heartbeat_interval")
        bounds = ("append_bytes_max", "inflight_count_max", "inflight_bytes_max", "uncommitted_bytes_max")
        for name in (*bounds, "read_count_max"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: 1 or more")
        if self.trailing_entry_count < 0 or self.trailing_bytes_max < 0:
            raise ConfigError("trailing_entry_count, trailing_bytes_max: 0 or more")
        if self.lease_reads and not self.check_quorum:
            raise ConfigError("lease_reads: needs check_quorum, or nothing keeps a new leader away")
        if not 0 <= self.clock_drift_ppm < 1_000_000:
            raise ConfigError("clock_drift_ppm: 0 to 999,999")

    @property
    def lease(self) -> Duration:
        """How long after it was sent a round that a quorum acknowledged lets the leader read alone."""
        drift = self.clock_drift_ppm
        return Duration(self.election_timeout * (1_000_000 - drift) // (1_000_000 + drift))
