"""PBS measured: a simulated cluster whose links take as long as a published fit says, beside what WARS predicts.

Every trial writes a key of its own through a node that holds no copy of it and reads it through another such node, so
that each of the four messages crosses a link. Links draw by what they carry: a write request takes W of the fit, its
acknowledgement, a read request and its answer take the other distribution. Disks take no time, as in the paper's model.
"""

from collections.abc import Sequence
from random import Random

import msgspec

from quorate.kernel import MILLISECOND, Codec, Duration, Message, seconds
from quorate.lab.compare.fits import Fit
from quorate.lab.compare.leaderless_cluster import LeaderlessCluster
from quorate.lab.compare.plan import RunPlan
from quorate.lab.compare.scenarios import zone_of
from quorate.lab.compare.spec import LeaderlessDesign
from quorate.protocols.leaderless import Bundle, Write
from quorate.sim import DiskPolicy, LinkPolicy, Links, Partitions, TCPPolicy, World

NODE_COUNT = 6
# Between two trials: they share nothing but the scheduler.
GAP = Duration(5 * MILLISECOND)
PATIENCE = seconds(3600)
NEVER_ANSWERED = -1.0


class Trials(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated cluster did; milliseconds."""

    # Of every trial: when after the acknowledgement its read began, and whether it saw the write.
    after_ms: list[float]
    is_consistent: list[bool]
    write_ms: list[float]
    read_ms: list[float]

    def consistent_at(self, after_ms: float) -> tuple[float, int]:
        """Return the share of consistent reads among those that began so long after, and how many these are."""
        seen = [seen for after, seen in zip(self.after_ms, self.is_consistent, strict=True) if after == after_ms]
        return sum(seen) / max(1, len(seen)), len(seen)


class FitLinks(Links):
    """Links that take as long as a fit says, by the kind of message that was encoded last."""

    fit: Fit
    is_write: bool = False

    def datagram_delays(self, source: int, target: int, *, now: int, byte_count: int) -> tuple[int, ...]:
        """Return the delay of the one copy that arrives."""
        fit = self.fit
        rng = self._rngs.get((source, target))
        if rng is None:
            rng = self._rngs[source, target] = self._choices.random("fit", source, target)
        delay = (fit.write if self.is_write else fit.other).draw(rng)
        if fit.far_ms and zone_of(source, NODE_COUNT) != zone_of(target, NODE_COUNT):
            delay += fit.far_ms
        return (round(delay * MILLISECOND),)

    _rngs: dict[tuple[int, int], Random]


class _Watching(Codec[Message]):
    """Tells the links what is about to travel."""

    def __init__(self, inner: Codec[Message], links: FitLinks) -> None:
        self._links = links
        self._inner = inner
        self._inner_encode = inner.encode
        self.encode = self._encode

    def _encode(self, message: Message, /) -> bytes:
        self._links.is_write = isinstance(message, Bundle) and any(isinstance(part, Write) for part in message.parts)
        return self._inner_encode(message)

    def decode(self, data: bytes | memoryview) -> Message:
        """Return the message."""
        return self._inner.decode(data)


def measure_fit(fit: Fit, *, r: int, w: int, trial_count: int, after_ms: Sequence[float], seed: int = 1) -> Trials:
    """Make trials on a simulated cluster of six nodes, N = 3, without repair, hints or anti-entropy.

    Args:
        fit: how long messages take.
        r: answers that a read waits for.
        w: answers that a write waits for.
        trial_count: how many; the times of `after_ms` in turns.
        after_ms: when reads begin after the acknowledgement.
        seed: repeats them.

    Complexity: O(trials).
    """
    link = LinkPolicy(latency=Duration(0), jitter=Duration(0))
    with World(seed, link=link, disk=DiskPolicy(sync_min=Duration(0), sync_max=Duration(0))) as world:
        links = FitLinks(world.choices, policy=link, tcp=TCPPolicy())
        links.fit, links._rngs = fit, {}
        world.links, world.partitions = links, Partitions(world)
        return _Measuring(world, links, r, w, after_ms).run(trial_count)


class _Measuring:
    """The trials on one world."""

    def __init__(self, world: World, links: FitLinks, r: int, w: int, after_ms: Sequence[float]) -> None:
        design = LeaderlessDesign(
            r=str(r), w=str(w), repair="none", hints=False, anti_entropy=False, eager=True
        )  # fmt: skip
        self.world = world
        self.plan = RunPlan(design=design, node_count=NODE_COUNT)
        # Nobody gives up, asks twice, or watches the others: the model knows none of it.
        tuning = {"hint_delay": PATIENCE, "request_timeout": PATIENCE}
        self.cluster = LeaderlessCluster(design, world, self.plan, tuning=tuning, swim=False)
        codec = self.cluster.cluster.codec
        assert codec is not None, "a comparison encodes its messages"
        self.cluster.cluster.codec = _Watching(codec, links)
        self.after_ms = tuple(after_ms)
        self.rng = world.choices.random("trials")
        self.found = Trials(after_ms=[], is_consistent=[], write_ms=[], read_ms=[])

    def run(self, trial_count: int) -> Trials:
        """Make all trials."""
        self.cluster.prepare()
        began_at = self.world.now
        for number in range(trial_count):
            self.world.at(began_at + number * GAP, lambda number=number: self._write(number))  # type: ignore[misc]
        bound = seconds(trial_count * GAP / seconds(1) + 600)
        self.cluster.cluster.run_until(
            lambda: len(self.found.read_ms) == trial_count, timeout=bound, period=Duration(500 * MILLISECOND)
        )
        return self.found

    def _write(self, number: int) -> None:
        key, after_ms, began = f"t{number}", self.after_ms[number % len(self.after_ms)], self.world.now
        owners = [int(node) for node in self.cluster.preferences.owners(key.encode())]
        others = [node for node in range(1, NODE_COUNT + 1) if node not in owners]
        writer, reader = others[self.rng.randrange(len(others))], others[self.rng.randrange(len(others))]

        def written(_: int | None, error: Exception | None) -> None:
            assert error is None, f"nothing is broken here: {error}"
            self.found.write_ms.append((self.world.now - began) / MILLISECOND)
            at = self.world.now + round(after_ms * MILLISECOND)
            self.world.at(at, lambda: self._read(reader, key, number, after_ms))

        self.cluster.write(writer, key, number, PATIENCE, written)

    def _read(self, node: int, key: str, number: int, after_ms: float) -> None:
        began = self.world.now

        def read(value: int | None, error: Exception | None) -> None:
            assert error is None, f"nothing is broken here: {error}"
            self.found.read_ms.append((self.world.now - began) / MILLISECOND)
            self.found.after_ms.append(after_ms)
            self.found.is_consistent.append(value == number)

        self.cluster.read(node, key, PATIENCE, read)
