"""Links between hosts: how late, how often lost, and which are cut."""

import msgspec

from quorate.kernel import MICROSECOND, Duration
from quorate.sim.choices import Choices, Stream
from quorate.sim.observer import Observer

BITS_PER_BYTE = 8
SECOND_NS = 1_000_000_000


class LinkPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How one directed link behaves. Shares are in [0, 1]."""

    # Least time from departure to arrival, and how much may be added, uniformly. Jitter reorders datagrams.
    latency: Duration = Duration(100 * MICROSECOND)
    jitter: Duration = Duration(100 * MICROSECOND)
    # Share of datagrams that vanish; a stream's bytes come a retransmission later instead.
    lose: float = 0.0
    # Share of datagrams that arrive twice.
    repeat: float = 0.0
    # Share of datagrams that are held back by up to `reorder_delay` on top.
    reorder: float = 0.0
    reorder_delay: Duration = Duration(5_000 * MICROSECOND)
    # 0: unlimited.
    bytes_per_second: int = 0


class TCPPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How streams behave on every link."""

    # Bytes sent and not yet read by the other program; more wait in the sender's transport.
    window_bytes: int = 256 << 10
    # First and longest pause between retransmissions; doubles.
    retransmit_min: Duration = Duration(200_000 * MICROSECOND)
    retransmit_max: Duration = Duration(60_000_000 * MICROSECOND)
    # Unacknowledged for so long: ETIMEDOUT. Linux: about 15 minutes.
    timeout: Duration = Duration(900 * SECOND_NS)
    # Attempts to connect come after 1, 2, 4 ... s and end here: ETIMEDOUT. Linux: 127 s.
    connect_timeout: Duration = Duration(127 * SECOND_NS)
    # Share of writes that arrive in two pieces; share of writes of one moment that arrive as one piece.
    fragment: float = 0.05
    coalesce: float = 0.5


_LOOPBACK = LinkPolicy(latency=Duration(10 * MICROSECOND), jitter=Duration(0))


class Links:
    """All directed links by host number. A link is what its policy says, unless it is cut.

    Each pair has its own dice, so that one more packet here moves nothing elsewhere.
    """

    def __init__(self, choices: Choices, *, policy: LinkPolicy, tcp: TCPPolicy) -> None:
        self.policy = policy
        self.tcp = tcp
        # Directed pairs with a policy of their own.
        self.policies: dict[tuple[int, int], LinkPolicy] = {}
        # Directed pairs that carry nothing.
        self.cut: dict[tuple[int, int], None] = {}
        self.lost_count = 0
        # Who is told of what arrives; None costs nothing.
        self.observer: Observer | None = None
        self._choices = choices
        self._dice: dict[tuple[int, int], Stream] = {}
        # Directed pair → when its last byte has left, for links of bounded bandwidth.
        self._free_at: dict[tuple[int, int], int] = {}

    def dice(self, source: int, target: int) -> Stream:
        """Return the dice of a directed pair."""
        pair = (source, target)
        dice = self._dice.get(pair)
        if dice is None:
            dice = self._dice[pair] = self._choices.stream("network", source, target)
        return dice

    def policy_of(self, source: int, target: int) -> LinkPolicy:
        """Return how a directed link behaves now."""
        if source == target:
            return _LOOPBACK
        return self.policies.get((source, target), self.policy) if self.policies else self.policy

    def is_cut(self, source: int, target: int) -> bool:
        """Return whether nothing gets through."""
        return (source, target) in self.cut if self.cut else False

    def delay(self, source: int, target: int, *, now: int, byte_count: int) -> int:
        """Return how long one packet of a stream takes, without loss."""
        policy = self.policy_of(source, target)
        delay = policy.latency
        if policy.jitter:
            delay = Duration(delay + int(self.dice(source, target).draw() * policy.jitter))
        if policy.bytes_per_second:
            delay = Duration(delay + self._queue(source, target, policy, now, byte_count))
        return delay

    def stream_delay(self, source: int, target: int, *, now: int, byte_count: int) -> int:
        """Return how long one packet of a stream takes, retransmissions included."""
        delay = self.delay(source, target, now=now, byte_count=byte_count)
        share = self.policy_of(source, target).lose
        if share:
            dice, pause = self.dice(source, target), self.tcp.retransmit_min
            while dice.chance(share) and pause < self.tcp.retransmit_max:
                self.lost_count += 1
                delay += pause
                pause = Duration(2 * pause)
        return delay

    def datagram_delays(self, source: int, target: int, *, now: int, byte_count: int) -> tuple[int, ...]:
        """Return the delay of each copy of a datagram that arrives; none when it is lost or the link is cut."""
        if self.cut and (source, target) in self.cut:
            return ()
        policy = self.policy_of(source, target)
        dice = self._dice.get((source, target)) or self.dice(source, target)
        if not (policy.lose or policy.repeat or policy.reorder or policy.bytes_per_second):
            # The common case at a third of the cost; the same draw as below.
            jitter = policy.jitter
            return (policy.latency + int(dice.draw() * jitter) if jitter else policy.latency,)
        if policy.lose and dice.chance(policy.lose):
            self.lost_count += 1
            return ()
        delay = self.delay(source, target, now=now, byte_count=byte_count)
        if policy.reorder and dice.chance(policy.reorder):
            delay += dice.below(policy.reorder_delay)
        if policy.repeat and dice.chance(policy.repeat):
            return (delay, delay + dice.below(policy.latency + policy.jitter + 1))
        return (delay,)

    def _queue(self, source: int, target: int, policy: LinkPolicy, now: int, byte_count: int) -> int:
        """Return the time in the link's queue and on the wire."""
        pair = (source, target)
        done = max(now, self._free_at.get(pair, 0)) + byte_count * SECOND_NS // policy.bytes_per_second
        self._free_at[pair] = done
        return done - now
