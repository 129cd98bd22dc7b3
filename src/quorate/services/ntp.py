"""Network time: a server that tells its wall clock, and a client that turns several servers into bounded time.

Both speak NTP version 4 over datagrams, so each also works with a foreign counterpart. The client never sets a clock:
it keeps an `IntervalClock` over the node's monotonic time. What arrives is data: the unexpected is counted and ignored.

Source      RFC 5905, sections 7.3 (packets), 8 (on-wire protocol: origin check against bogus and repeated answers).
Deviations  No symmetric or broadcast modes, no authentication, no kiss codes; polling is at a fixed interval.
Limits      One request in flight per server; a later one replaces it, and its answer is then ignored. Servers are named
            by numeric address, because answers are matched by the address that they come from.
"""

from collections import Counter
from collections.abc import Sequence

from quorate.clocks import (
    DRIFT_PPM,
    BadExchange,
    ClocksDisagree,
    Exchange,
    IntervalClock,
    Mode,
    NTPPacket,
    TimeEstimator,
    TimeInterval,
    from_ntp,
    to_ntp,
    to_short_format,
)
from quorate.env import Address, Endpoint, Env, Timer
from quorate.kernel import Duration, Instant, Undecodable, errors, seconds

# A server that is not synchronised says so by stratum 0 or 16 and more.
_STRATUM_MAX = 15
_POLL_INTERVAL = seconds(16)
_EXACT = Duration(0)


class NTPServer:
    """Answers requests with this node's wall time."""

    def __init__(self, env: Env, *, error: Duration = _EXACT, stratum: int = 1) -> None:
        """Make a server.

        Args:
            env: the node's world.
            error: how far this node's wall clock may be from true time; told to every client.
            stratum: 1 with a reference clock, n behind a server of n - 1.
        """
        if error < 0 or not 1 <= stratum <= _STRATUM_MAX:
            raise errors.UsageError(f"error is 0 or more and stratum 1 to 15, not {error} and {stratum}")
        self.error = error
        self.stratum = stratum
        # What was answered, and what was ignored by reason.
        self.counts: Counter[str] = Counter()
        self._env = env
        self._endpoint: Endpoint | None = None

    @property
    def address(self) -> Address:
        """The address in use; raise `UsageError` before `start`."""
        if self._endpoint is None:
            raise errors.UsageError("this server was not started")
        return self._endpoint.address

    async def start(self, address: Address) -> None:
        """Listen; raise OSError when the address cannot be had."""
        self._endpoint = await self._env.network.listen(address, self._on_datagram)

    def stop(self) -> None:
        """Answer no more; harmless when repeated."""
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None

    def _on_datagram(self, sender: Address, payload: bytes) -> None:
        received = to_ntp(self._env.clock.wall_ns())
        try:
            request = NTPPacket.from_bytes(payload)
        except Undecodable:
            self.counts["malformed"] += 1
            return
        if request.mode is not Mode.CLIENT or self._endpoint is None:
            # Answering a server's packet would let two servers talk for ever.
            self.counts["not a request"] += 1
            return
        self.counts["answered"] += 1
        answer = NTPPacket(
            mode=Mode.SERVER,
            stratum=self.stratum,
            poll=request.poll,
            root_dispersion=to_short_format(self.error),
            reference=received,
            origin=request.transmit,
            receive=received,
            transmit=to_ntp(self._env.clock.wall_ns()),
        )
        self._endpoint.send(sender, answer.to_bytes())


class NTPClient:
    """Asks servers at intervals and keeps bounded time."""

    def __init__(
        self,
        env: Env,
        *,
        servers: Sequence[Address],
        poll_interval: Duration = _POLL_INTERVAL,
        drift_ppm: int = DRIFT_PPM,
    ) -> None:
        """Make a client.

        Args:
            env: the node's world.
            servers: whom to ask; a majority of them must agree.
            poll_interval: span between two requests to each server.
            drift_ppm: bound of this node's monotonic clock against true time.
        """
        if poll_interval < 1:
            raise errors.UsageError(f"poll_interval is above 0, not {poll_interval}")
        self.clock = IntervalClock(drift_ppm=drift_ppm)
        self.estimator = TimeEstimator(servers=[str(server) for server in servers], drift_ppm=drift_ppm)
        # What was sent and taken, and what was ignored by reason.
        self.counts: Counter[str] = Counter()
        self._env = env
        self._servers = tuple(servers)
        self._poll_interval = poll_interval
        # Per server: transmit timestamp of the request in flight and the local instant at which it left.
        self._asked: dict[Address, tuple[int, Instant]] = {}
        self._endpoint: Endpoint | None = None
        self._timer: Timer | None = None

    async def start(self, address: Address) -> None:
        """Open a local address (port 0 for any) and begin to ask; raise OSError when it cannot be had."""
        self._endpoint = await self._env.network.listen(address, self._on_datagram)
        self.poll()

    def stop(self) -> None:
        """Ask no more; harmless when repeated. What is known stays, and grows vaguer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None

    def now(self) -> TimeInterval:
        """Return the interval that contains true time; raise `NotSynchronized`."""
        return self.clock.now(at=self._env.clock.now())

    def after(self, moment_ns: int) -> bool:
        """Return whether a moment has passed for certain."""
        return self.clock.after(moment_ns, at=self._env.clock.now())

    def before(self, moment_ns: int) -> bool:
        """Return whether a moment has not come for certain."""
        return self.clock.before(moment_ns, at=self._env.clock.now())

    def commit_wait(self, moment_ns: int) -> Duration:
        """Return how long to wait until a moment has passed for certain."""
        return self.clock.commit_wait(moment_ns, at=self._env.clock.now())

    def poll(self) -> None:
        """Ask every server now, and again after the poll interval."""
        if self._endpoint is None:
            return
        for server in self._servers:
            # Random, as RFC 5905 allows: an answer that was not asked for cannot guess it, and our time stays ours.
            cookie = self._env.rng.getrandbits(64)
            self._asked[server] = (cookie, self._env.clock.now())
            self._endpoint.send(server, NTPPacket(mode=Mode.CLIENT, transmit=cookie).to_bytes())
            self.counts["asked"] += 1
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._env.clock.call_after(self._poll_interval, self.poll)

    def _on_datagram(self, sender: Address, payload: bytes) -> None:
        received = self._env.clock.now()
        try:
            answer = NTPPacket.from_bytes(payload)
        except Undecodable:
            self.counts["malformed"] += 1
            return
        cookie, sent = self._asked.get(sender, (None, received))
        if answer.mode is not Mode.SERVER or cookie != answer.origin:
            self.counts["not asked for"] += 1
            return
        # Answered once: a repeated datagram must not look like a second, slower exchange.
        del self._asked[sender]
        if not 1 <= answer.stratum <= _STRATUM_MAX:
            self.counts["unsynchronised server"] += 1
            return
        self._take(sender, answer, sent=sent, received=received)

    def _take(self, sender: Address, answer: NTPPacket, *, sent: Instant, received: Instant) -> None:
        near_ns = self._env.clock.wall_ns()
        exchange = Exchange(
            sent=sent,
            server_received_ns=from_ntp(answer.receive, near_ns=near_ns),
            server_sent_ns=from_ntp(answer.transmit, near_ns=near_ns),
            received=received,
        )
        try:
            # Two nanoseconds for the rounding of the wire format.
            self.estimator.add(str(sender), exchange, server_error_ns=answer.root_distance_ns + 2)
        except BadExchange:
            self.counts["impossible"] += 1
            return
        self.counts["taken"] += 1
        agreement = self.estimator.agreement(now=received)
        if agreement is None:
            return
        try:
            self.clock.synchronize(agreement.interval, at=received)
        except ClocksDisagree:
            # A majority that is sure now outweighs what another majority was sure of before.
            self.counts["disagreed"] += 1
            self.clock.reset()
            self.clock.synchronize(agreement.interval, at=received)
