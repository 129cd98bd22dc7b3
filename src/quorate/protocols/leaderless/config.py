"""Every bound of a leaderless keyspace, with what grows when it grows."""

from typing import Literal

import msgspec

from quorate.kernel import Duration, NodeId, milliseconds, seconds
from quorate.protocols.leaderless.topology import Topology

ReadRepair = Literal["blocking", "background", "none"]
Purge = Literal["grace", "repair", "never"]


class LeaderlessConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told at birth; the same on all nodes but for `node`."""

    # This node.
    node: NodeId

    # Who holds what, unless the records know a newer one.
    topology: Topology

    # Levels used when a request names none; R + W > N makes every read see the newest acknowledged write.
    read_level: str = "QUORUM"
    write_level: str = "QUORUM"

    # Owners that cannot be reached are replaced by the next nodes of the walk, which keep a hint and count towards W
    # (Dynamo's sloppy quorum). False: only owners count, and the coordinator keeps the hint (Cassandra).
    sloppy: bool = False

    # blocking: a read that found differences answers after its level holds the merged cell (monotonic quorum reads);
    # background: repairs and does not wait; none.
    read_repair: ReadRepair = "blocking"

    # Ask one replica for the cell and the others for its digest. Saves bytes, costs a round when they differ.
    digest_reads: bool = True

    # A read asks only so many replicas as its level needs, and one more after this. 0: it asks all at once.
    speculative_delay: Duration = milliseconds(20)

    # A request ends after this.
    request_timeout: Duration = seconds(2)

    # A replica that has not answered a write after this gets a hint.
    hint_delay: Duration = milliseconds(500)

    # Hints are kept and taken for so long after the write; must be below `tombstone_grace`, or deletes come undone.
    hint_window: Duration = seconds(3 * 3600)

    # More hints for one node are not kept (the write counts only where it was stored).
    hint_count_max: int = 100_000

    # Hints sent to a node that came back, per second. Larger: sooner complete, more load on it.
    hint_rate: int = 2_000

    # grace: a tombstone goes when it is older than `tombstone_grace`; repair: when a comparison of all owners began
    # after it was written; never.
    purge: Purge = "grace"
    tombstone_grace: Duration = seconds(10 * 24 * 3600)

    # Cells per second that a node streams to new owners.
    stream_rate: int = 5_000
    stream_part_count: int = 256

    # Requests that this node coordinates at one time; more are refused, definitely.
    pending_count_max: int = 50_000

    # Longest key and value; longer: refused.
    key_bytes_max: int = 65_536
    value_bytes_max: int = 1_572_864

    # Siblings of one key; a write beyond is refused with TOOMANYSIBLINGS (Riak's guard), which a merging write cures.
    sibling_count_max: int = 100
