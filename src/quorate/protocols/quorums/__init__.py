"""Which sets of nodes are enough: arithmetic only, shared by every protocol that votes.

Source      Ongaro & Ousterhout 2014, §5.3 (majorities) and thesis §4.3 (joint); Gifford 1979 (weighted voting).
"""

from quorate.protocols.quorums.joint import JointQuorum
from quorate.protocols.quorums.majority import MajorityQuorum, Vote

__all__ = ["JointQuorum", "MajorityQuorum", "Vote"]
