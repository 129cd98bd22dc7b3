"""What the experiments on membership are asked, and what they answer."""

import msgspec

from quorate.kernel import Duration, seconds
from quorate.kernel.errors import UsageError
from quorate.protocols.swim import PROFILES

MEMBER_COUNT_MAX = 20_000


class MembershipOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of clusters by size."""

    member_counts: tuple[int, ...] = (1, 10, 100, 1_000)
    profile: str = "lan"
    lifeguard: bool = True
    seed: int = 1
    # Share of datagrams lost in the phase that counts wrong accusations.
    loss: float = 0.1
    # Simulated time of the quiet phase, and of the lossy one.
    quiet_span: Duration = seconds(20)
    loss_span: Duration = seconds(60)

    def __post_init__(self) -> None:
        if not self.member_counts or not all(1 <= count <= MEMBER_COUNT_MAX for count in self.member_counts):
            raise UsageError(f"members: numbers from 1 to {MEMBER_COUNT_MAX}")
        if self.profile not in PROFILES:
            raise UsageError(f"profile: one of {', '.join(PROFILES)}, not {self.profile!r}")
        if not 0 <= self.loss < 1:
            raise UsageError("loss: a share from 0 to below 1")
        if self.quiet_span < 1 or self.loss_span < 0:
            raise UsageError("spans: above 0")


class MembershipRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one size of cluster did, each figure beside what theory says. Times in seconds; None: did not happen."""

    member_count: int
    # A member changes its metadata: until half, 99 % and all others know.
    spread_half: float | None
    spread_99: float | None
    spread_all: float | None
    # The same in gossip intervals, and the epidemic's log_{f+1} n + ln n / f.
    spread_rounds: float | None
    spread_rounds_theory: float
    spread_message_count: int
    # A member loses power: until somebody suspects it, and until all know that it is dead.
    suspect_first: float | None
    suspect_first_theory: float
    dead_all: float | None
    # Least and most, from the suspicion window alone.
    dead_window_theory: tuple[float, float]
    # Sent by each member per second while nothing happens: messages, and bytes with UDP and IP headers.
    quiet_messages: float
    quiet_messages_theory: float
    quiet_bytes: float
    quiet_bytes_theory: float
    # Under loss, per member and hour: suspicions of the living and their deaths.
    suspicions: float | None
    suspicions_theory: float
    false_deaths: float | None
    # Simulated seconds per second of processor time, quiet, without encoding.
    speed: float
