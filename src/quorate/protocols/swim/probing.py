"""Failure detection: one member is probed per interval, directly and then through others."""

import msgspec

from quorate.kernel import CancelTimer, Duration, Instant, NodeId, Send, SetTimer, marks
from quorate.protocols.swim.members import DEAD
from quorate.protocols.swim.messages import Ack, Nack, Ping, PingRequest
from quorate.protocols.swim.state import HEADER_BYTES, PROBE, RELAY, SwimState


class Probe(msgspec.Struct):
    """The probe of this interval."""

    target: NodeId
    sequence: int
    began_at: Instant
    # Helpers that were asked, and those that said they heard nothing.
    helper_count: int = 0
    nacked: tuple[NodeId, ...] = ()
    is_indirect: bool = False


class Relay(msgspec.Struct):
    """A probe that this node makes for somebody else."""

    asker: NodeId
    sequence: int
    target: NodeId


class Probing(SwimState):
    """Pings, their answers, and what silence leads to."""

    probe: Probe | None = None
    # When the timer of the probe should fire.
    probe_due_at: Instant = Instant(0)
    next_sequence: int = 1

    def _begin_probing(self) -> None:
        self.relays: dict[int, Relay] = {}
        # A member that restarts must not take an answer to its former life for one to this.
        self.next_sequence = self.rng.randrange(1 << 48)
        # Clusters that start together would otherwise probe in step.
        self._arm_probe(Duration(self.rng.randrange(1, self.config.probe_interval + 1)))

    def _scaled(self, span: Duration) -> Duration:
        """Return a span, longer when this node is in bad health."""
        return span if self.health == 0 else Duration(span * (self.health + 1))

    def _arm_probe(self, after: Duration) -> None:
        self.probe_due_at = Instant(self.now + after)
        self._emit(SetTimer(PROBE, after))

    def _draw_sequence(self) -> int:
        self.next_sequence += 1
        return self.next_sequence

    # Asking.

    def _on_probe_timer(self) -> None:
        probe = self.probe
        if probe is None:
            self._probe_next()
        elif self._was_away(self.probe_due_at):
            # What looks like silence may lie in our own queue; nobody is accused for it.
            self._probe_next()
        elif not probe.is_indirect and self.config.indirect_count:
            self._ask_helpers(probe)
        else:
            self._fail(probe)
            self._probe_next()

    def _probe_next(self) -> None:
        self.probe = None
        target = self._next_target()
        if target is None:
            self._arm_probe(self.config.probe_interval)
            return
        sequence = self._draw_sequence()
        self.probe = Probe(target, sequence, self.now)
        self._emit(Send(target, Ping(sequence, self._rumours_for(target))))
        self._arm_probe(self._scaled(self.config.probe_timeout))

    def _next_target(self) -> NodeId | None:
        """Return the next member of the round that is not dead."""
        order = self.order
        for _ in range(len(order) + 1):
            if order.is_round_over:
                self._begin_round()
                if order.is_round_over:
                    return None
            node = order.next()
            member = self.members.get(node)
            if member is not None and member.status < DEAD and node != self.node:
                return node
        return None

    def _begin_round(self) -> None:
        """Begin a round, without those who can be forgotten about."""
        order, members = self.order, self.members
        if not self.is_order_stale:
            order.begin()
            return
        recent = self.config.dead_gossip_span
        nodes = []
        for member in members:
            node = NodeId(member.node)
            is_wanted = member.status < DEAD or self.now - self.gone_at.get(node, self.now) <= recent
            if is_wanted and node != self.node:
                nodes.append(node)
        order.begin(nodes)
        # Those who died recently are still told rumours; a later round drops them.
        self.is_order_stale = bool(self.gone_at)

    def _ask_helpers(self, probe: Probe) -> None:
        probe.is_indirect = True
        for helper in self._draw_members(self.config.indirect_count, but=probe.target):
            probe.helper_count += 1
            request = PingRequest(probe.sequence, probe.target, self._take_rumours(HEADER_BYTES))
            self._send(helper, request)
        left = probe.began_at + self._scaled(self.config.probe_interval) - self.now
        self._arm_probe(Duration(max(1, left)))

    def _fail(self, probe: Probe) -> None:
        """Nobody heard the target."""
        # Lifeguard: helpers that answered nothing at all speak against our own network, not against the target.
        missed_count = probe.helper_count - len(probe.nacked)
        self._change_health(missed_count if probe.helper_count else 1)
        self._suspect(probe.target)

    # Answering.

    def _on_ping(self, sender: NodeId, message: Ping) -> None:
        if message.rumours:
            self._hear(message.rumours)
        self._emit(Send(sender, Ack(message.sequence, self._rumours_for(sender))))

    def _on_ack(self, sender: NodeId, message: Ack) -> None:
        if message.rumours:
            self._hear(message.rumours)
        probe = self.probe
        if probe is not None and message.sequence == probe.sequence:
            self._succeed(probe)
            return
        relay = self.relays.pop(message.sequence, None)
        if relay is not None and relay.target == sender:
            self._emit(CancelTimer(f"{RELAY}{message.sequence}"))
            self._send(relay.asker, Ack(relay.sequence, self._take_rumours(HEADER_BYTES)))

    def _succeed(self, probe: Probe) -> None:
        self.probe = None
        if self.health:
            self._change_health(-1)
        # A late answer still counts, but the next probe does not wait for the interval to come round.
        rest = probe.began_at + self._scaled(self.config.probe_interval) - self.now
        self._arm_probe(Duration(max(1, rest)))

    def _on_ping_request(self, sender: NodeId, message: PingRequest) -> None:
        if message.rumours:
            self._hear(message.rumours)
        target = NodeId(message.target)
        if target == self.node:
            self._send(sender, Ack(message.sequence, self._rumours_for(sender)))
            return
        if len(self.relays) >= self.config.relay_count_max:
            marks.hit("swim: a request beyond the limit was ignored")
            self.refused_count += 1
            return
        sequence = self._draw_sequence()
        self.relays[sequence] = Relay(sender, message.sequence, target)
        self._send(target, Ping(sequence, self._rumours_for(target)))
        self._emit(SetTimer(f"{RELAY}{sequence}", Duration(self.config.probe_timeout * 4 // 5)))

    def _on_relay_timeout(self, sequence: int) -> None:
        relay = self.relays.pop(sequence, None)
        if relay is not None and self.config.local_health:
            # In time for the asker to count it.
            self._send(relay.asker, Nack(relay.sequence))

    def _on_nack(self, sender: NodeId, message: Nack) -> None:
        probe = self.probe
        if probe is None or message.sequence != probe.sequence or sender in probe.nacked:
            return
        if len(probe.nacked) < probe.helper_count:
            probe.nacked = (*probe.nacked, sender)
