"""What a host asks of its machine."""

from quorate.kernel import Call, NodeId


class Join(Call, frozen=True, gc=False, tag=True):
    """Join the cluster through these nodes, retried until one answers with its table."""

    seeds: tuple[NodeId, ...]


class Leave(Call, frozen=True, gc=False, tag=True):
    """Leave for good: tell the others, answer `Departed` when they have been told often enough."""


class UpdateMetadata(Call, frozen=True, gc=False, tag=True):
    """Say something else of oneself from now on. Answered by `Refused` when it is too long."""

    metadata: bytes


SwimCall = Join | Leave | UpdateMetadata
