"""Links for large clusters: one set of dice per sender instead of one per pair."""

from quorate.kernel import Duration
from quorate.sim import LinkPolicy, Links, Partitions, Stream, TCPPolicy, World


class SenderLinks(Links):
    """Links whose dice belong to the sender.

    A thousand members speak over a million pairs, and a generator for each would cost gigabytes. The price: one more
    message of a node moves that node's later messages, to whomever; never another node's.
    """

    _senders: dict[int, Stream]

    def dice(self, source: int, target: int) -> Stream:
        """Return the dice of a sender."""
        dice = self._senders.get(source)
        if dice is None:
            dice = self._senders[source] = self._choices.stream("network", source)
        return dice

    def datagram_delays(self, source: int, target: int, *, now: int, byte_count: int) -> tuple[int, ...]:
        """Return the delay of each copy of a datagram that arrives; none when it is lost or the link is cut."""
        if self.cut and (source, target) in self.cut:
            return ()
        policy = self.policy_of(source, target) if self.policies else self.policy
        if policy.repeat or policy.reorder or policy.bytes_per_second:
            self._dice[source, target] = self.dice(source, target)
            return super().datagram_delays(source, target, now=now, byte_count=byte_count)
        dice = self._senders.get(source) or self.dice(source, target)
        if policy.lose and dice.draw() < policy.lose:
            self.lost_count += 1
            return ()
        return (Duration(policy.latency + int(dice.draw() * policy.jitter)),)


def large_world(seed: int, *, link: LinkPolicy | None = None) -> World:
    """Return a world whose links have dice per sender."""
    world = World(seed, link=link)
    links = SenderLinks(world.choices, policy=link or LinkPolicy(), tcp=TCPPolicy())
    links._senders = {}
    world.links = links
    # It holds on to the cuts of the links it was made with.
    world.partitions = Partitions(world)
    return world
