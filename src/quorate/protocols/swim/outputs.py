"""What a machine hands to its host: events for subscribers."""

from quorate.kernel import Output
from quorate.protocols.swim.members import Member


class MemberChanged(Output, frozen=True, gc=False, tag=True):
    """Something is new about a member.

    `kind` is joined (first heard of), suspected, refuted (suspect, and alive after all), failed, left, rejoined (was
    dead or left), updated (other metadata) or forgotten (dead for so long that even its death is forgotten).
    """

    kind: str
    member: Member


class Joined(Output, frozen=True, gc=False, tag=True):
    """A seed answered: the table is that of the cluster."""

    member_count: int


class Departed(Output, frozen=True, gc=False, tag=True):
    """The others have been told of our leave; the process may end."""


class Refused(Output, frozen=True, gc=False, tag=True):
    """A call was not carried out."""

    reason: str


SwimOutput = MemberChanged | Joined | Departed | Refused
