"""The side that asks: cycles over peers and ranges, and the way down to the keys that differ."""

from collections import deque

from quorate.kernel import CancelTimer, NodeId, SetTimer, marks
from quorate.protocols.anti_entropy.answering import from_digests, to_digests
from quorate.protocols.anti_entropy.exchanges import Exchange, Work
from quorate.protocols.anti_entropy.intervals import Interval, pieces
from quorate.protocols.anti_entropy.messages import CUT, WHOLE, Answer, Ask, Decline, Listing, Names, Sums
from quorate.protocols.anti_entropy.outputs import Agreed, Divergent
from quorate.protocols.anti_entropy.state import ANSWER, BEGIN, AntiEntropyState

NUMBER_BITS = 62


class Asking(AntiEntropyState):
    """Begins comparisons and follows their answers."""

    # Cycles.

    def _begin(self) -> None:
        # Nodes that start together do not compare together.
        first = self.rng.randrange(self.config.interval) + 1
        self._emit(SetTimer(BEGIN, type(self.config.interval)(first)))

    def _on_begin_timer(self) -> None:
        """Fill the budget, go on with what waited for it, and begin what is due."""
        config = self.config
        self._emit(SetTimer(BEGIN, config.interval))
        rate = max(1, config.key_rate * config.interval // 1_000_000_000)
        # What one answer named too much is paid back.
        self.key_budget = min(rate, self.key_budget + rate)
        self.cycle_wait_count -= 1
        if not self.queue and self.cycle_wait_count <= 0:
            self._fill_queue()
        for peer in list(self.exchanges):
            if self.exchanges[peer].asked is None:
                self._ask_next(self.exchanges[peer])
        self._begin_exchanges()

    def _fill_queue(self) -> None:
        """Begin a cycle: all peers and ranges, in a random order."""
        pairs = [
            (peer, Interval(shared.start, shared.end))
            for shared in self.ranges
            for peer in shared.peers
            if peer not in self.down
        ]
        self.rng.shuffle(pairs)
        self.queue = deque(pairs)
        self.cycle_wait_count = max(1, self.config.cycle // self.config.interval)

    def _compare_all(self) -> None:
        """Begin a cycle that does not wait for intervals; exchanges under way began before it and end."""
        for peer in list(self.exchanges):
            self._drop(peer)
        self._fill_queue()
        self.is_hurried = True
        self._begin_exchanges()

    def _begin_exchanges(self) -> None:
        """Begin comparisons with as many ranges and peers as one interval allows; with all peers' when hurried."""
        chosen: dict[NodeId, list[Interval]] = {}
        later: list[tuple[NodeId, Interval]] = []
        count = 0
        while self.queue and (self.is_hurried or count < self.config.range_count):
            peer, run = self.queue.popleft()
            if peer in self.down:
                continue
            is_free = len(chosen) + len(self.exchanges) < self.config.exchange_count_max
            if peer in self.exchanges or (peer not in chosen and not is_free):
                later.append((peer, run))
                continue
            chosen.setdefault(peer, []).append(run)
            count += 1
        # What could not begin now comes first next time.
        self.queue.extendleft(reversed(later))
        self.is_hurried = self.is_hurried and bool(self.queue)
        for peer, runs in chosen.items():
            self._compare(peer, runs)

    def _compare(self, peer: NodeId, runs: list[Interval]) -> None:
        work = deque(Work(run, 0) for run in runs)
        exchange = Exchange(peer, self.rng.getrandbits(NUMBER_BITS), self.wall_ns, work)
        self.exchanges[peer] = exchange
        self.compared_count += len(runs)
        self._ask_next(exchange)

    # Questions.

    def _ask_next(self, exchange: Exchange) -> None:
        """Ask about as much as fits a message; end the exchange when nothing is left."""
        exchange.asked, exchange.summed, exchange.listed = None, [], []
        if not exchange.work:
            del self.exchanges[exchange.peer]
            return
        if self.key_budget <= 0:
            marks.hit("anti-entropy: waits for the next interval to name more keys")
            return
        sums: list[Sums] = []
        listings: list[Listing] = []
        room = self.config.digest_count_max
        while exchange.work and room > 0:
            run, level = exchange.work[0]
            if level and (run.is_single or self._is_short(run)):
                digests = sorted(digest for _, digest in self.index.items(run))
                if len(digests) > room and listings:
                    break
                listings.append(Listing(run.start, run.end - 1, from_digests(digests)))
                exchange.listed.append(exchange.work.popleft())
                room -= len(digests) + 1
                continue
            runs = pieces(run) if level else [run]
            if len(runs) > room and sums:
                break
            digests = [self.index.xor(piece) for piece in runs]
            sums.append(Sums(run.start, run.end - 1, from_digests(digests)))
            exchange.summed.append(exchange.work.popleft())
            room -= len(runs) + 1
        exchange.step += 1
        exchange.attempt_count = 0
        exchange.asked = Ask(self.version, exchange.number, exchange.step, tuple(sums), tuple(listings))
        self._repeat(exchange)

    def _is_short(self, run: Interval) -> bool:
        limit = self.config.list_key_count
        return self.index.count_up_to(run, limit) <= limit

    def _repeat(self, exchange: Exchange) -> None:
        """Send the question, again if need be: who answers keeps nothing, so repetition is harmless."""
        assert exchange.asked is not None, "there is a question"
        exchange.attempt_count += 1
        self._send(exchange.peer, exchange.asked)
        self._emit(SetTimer(f"{ANSWER}{exchange.peer}", self.config.answer_timeout))

    def _on_answer_timeout(self, peer: NodeId) -> None:
        exchange = self.exchanges.get(peer)
        if exchange is None or exchange.asked is None:
            return
        if exchange.attempt_count < self.config.attempt_count:
            marks.hit("anti-entropy: a question was repeated")
            self._repeat(exchange)
            return
        marks.hit("anti-entropy: an exchange was given up")
        self.abandoned_count += 1
        self._drop(peer)

    def _drop(self, peer: NodeId) -> None:
        """End an exchange half-way; what it had not reached is compared in the next cycle."""
        if self.exchanges.pop(peer, None) is not None:
            self._emit(CancelTimer(f"{ANSWER}{peer}"))

    # Answers.

    def _on_decline(self, sender: NodeId, decline: Decline) -> None:
        exchange = self.exchanges.get(sender)
        if exchange is None or exchange.number != decline.exchange:
            return
        self.declined_count += 1
        self._drop(sender)

    def _on_answer(self, sender: NodeId, answer: Answer) -> None:
        exchange = self.exchanges.get(sender)
        if (
            exchange is None
            or exchange.asked is None
            or (answer.exchange, answer.step) != (exchange.number, exchange.step)
        ):
            marks.hit("anti-entropy: ignored an answer that nobody waits for")
            return
        if not self._fits(exchange, answer):
            marks.hit("anti-entropy: refused an answer that makes no sense")
            self.refused_count += 1
            self._drop(sender)
            return
        self._emit(CancelTimer(f"{ANSWER}{sender}"))
        for work, places in zip(exchange.summed, answer.differing, strict=True):
            self._take_sums(exchange, work, places)
        keys: dict[bytes, None] = {}
        for work, listing, names in zip(exchange.listed, exchange.asked.listings, answer.names, strict=True):
            if names.state == WHOLE:
                keys.update(dict.fromkeys(self._keys_of(work.run, listing, names)))
            elif names.state == CUT and not work.run.is_single:
                exchange.work.extend(Work(run, work.level + 1) for run in pieces(work.run))
            else:
                exchange.work.append(work)
        if keys:
            self.key_budget -= len(keys)
            self.divergent_count += len(keys)
            self._output(Divergent(sender, tuple(keys)))
        self._ask_next(exchange)
        if self.is_hurried and sender not in self.exchanges:
            self._begin_exchanges()

    def _fits(self, exchange: Exchange, answer: Answer) -> bool:
        """Return whether an answer has the shape of its question."""
        if len(answer.differing) != len(exchange.summed) or len(answer.names) != len(exchange.listed):
            return False
        for (run, level), places in zip(exchange.summed, answer.differing, strict=True):
            if places >> (len(pieces(run)) if level else 1):
                return False
        return all(to_digests(names.lacking) is not None for names in answer.names)

    def _take_sums(self, exchange: Exchange, work: Work, places: int) -> None:
        """Look deeper where digests differ; say where they do not."""
        run, level = work
        if not level:
            if places:
                exchange.work.append(Work(run, 1))
            else:
                self.agreed_count += 1
                self._output(Agreed(exchange.peer, run.start, run.end, exchange.began_wall_ns))
            return
        agreed: Interval | None = None
        for place, piece in enumerate(pieces(run)):
            if not places >> place & 1:
                agreed = Interval(piece.start if agreed is None else agreed.start, piece.end)
                continue
            exchange.work.append(Work(piece, level + 1))
            self._agree_on(exchange, agreed, level)
            agreed = None
        self._agree_on(exchange, agreed, level)

    def _agree_on(self, exchange: Exchange, run: Interval | None, level: int) -> None:
        """Say that a part of a range agrees: of one that is always being written to, the rest still can."""
        if run is not None and level == 1:
            self._output(Agreed(exchange.peer, run.start, run.end, exchange.began_wall_ns))

    def _keys_of(self, run: Interval, listing: Listing, names: Names) -> list[bytes]:
        """Return the keys that differ, less those that have changed here while the answer was under way."""
        listed = to_digests(listing.digests) or ()
        lacking = dict.fromkeys(to_digests(names.lacking) or ())
        mine = [key for key, digest in self.index.items(run) if digest in lacking]
        theirs = [
            key
            for key, digest in names.named
            if (now := self.index.digest(key)) != digest and (now == 0 or now in listed)
        ]
        return sorted(dict.fromkeys([*mine, *theirs]))
