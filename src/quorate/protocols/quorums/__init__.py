"""Which sets of nodes are enough: arithmetic only, shared by every protocol that votes."""

from quorate.protocols.quorums.joint import JointQuorum
from quorate.protocols.quorums.majority import MajorityQuorum, Vote

__all__ = ["JointQuorum", "MajorityQuorum", "Vote"]
