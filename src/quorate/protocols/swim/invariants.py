"""What must hold at a member after every step, as pure functions for simulators."""

import msgspec

from quorate.kernel import NodeId
from quorate.protocols.swim.core import TRANSITIONS, Swim
from quorate.protocols.swim.members import DEAD, LEFT, SUSPECT, Member, fingerprint, supersedes

_ALLOWED = frozenset((before, after) for before, after, _ in TRANSITIONS)


class InvariantBroken(AssertionError):
    """A property of SWIM does not hold; the sentence names it and the nodes."""


class MemberHistory(msgspec.Struct):
    """What one run has seen. One per run."""

    # (life of a machine, by identity of the object kept here; subject) → what it knew.
    machines: dict[NodeId, Swim] = msgspec.field(default_factory=dict)
    known: dict[NodeId, dict[int, Member]] = msgspec.field(default_factory=dict)
    # Node → the highest incarnation it ever said of itself, over all its lives.
    said: dict[NodeId, int] = msgspec.field(default_factory=dict)


def check_members(machine: Swim, history: MemberHistory) -> None:
    """Check one machine after a step, and remember what was seen.

    Nobody is believed to have an incarnation that it never said; a table only moves up the order of `supersedes`,
    along TRANSITIONS; a suspicion exists exactly for suspects; the digest is that of the content.

    Raises:
        InvariantBroken: a property does not hold.

    Complexity: O(members).
    """
    node = machine.node
    if history.machines.get(node) is not machine:
        history.machines[node], history.known[node] = machine, {}
    history.said[node] = max(history.said.get(node, 0), machine.own.incarnation)
    before = history.known[node]
    digest = active_count = count = 0
    now: dict[int, Member] = {}
    for member in machine.members:
        now[member.node] = member
        digest ^= fingerprint(member)
        active_count += member.status <= SUSPECT
        count += 1
        _check_member(machine, member, before.get(member.node), history)
    if (digest, active_count, count) != (machine.members.digest, machine.members.active_count, machine.members.count):
        raise InvariantBroken(f"node {node}: the table's digest or counts are not those of its content")
    if machine.own != now.get(node):
        raise InvariantBroken(f"node {node} says {machine.own} of itself, and its table {now.get(node)}")
    for suspect in machine.suspicions:
        if suspect not in now or now[suspect].status != SUSPECT:
            raise InvariantBroken(f"node {node} counts down for {suspect}, which is no suspect")
    history.known[node] = now


def _check_member(machine: Swim, member: Member, before: Member | None, history: MemberHistory) -> None:
    subject, node = NodeId(member.node), machine.node
    if before is not None and before != member:
        if subject != node and (before.status_name, member.status_name) not in _ALLOWED:
            raise InvariantBroken(f"node {node}: {subject} went from {before.status_name} to {member.status_name}")
        if not supersedes(member, before) and member.incarnation != before.incarnation:
            raise InvariantBroken(f"node {node} went back from {before} to {member}")
    if subject in history.said and history.said[subject] < member.incarnation:
        raise InvariantBroken(f"node {node} believes {member}; {subject} said at most {history.said[subject]}")
    if subject != node and (member.status == SUSPECT) != (subject in machine.suspicions):
        raise InvariantBroken(f"node {node}: a suspicion exists exactly for suspects, not so for {subject}")
    if subject != node and (member.status in {DEAD, LEFT}) != (subject in machine.gone_at):
        raise InvariantBroken(f"node {node}: since when {subject} is gone is known exactly for the gone")
