"""The laws of replicated types as Hypothesis runs, for the types here and for your own.

Each method of `Laws` is one law; call it in a test. Needs the package `hypothesis`.

Source: Shapiro et al. 2011 (what makes a join semilattice); Almeida, Shoker, Baquero 2018 (deltas).
"""

import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from quorate.crdt.base import CRDT

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

S = TypeVar("S", bound=CRDT)  # type: ignore[type-arg]  # the type of its deltas is its own affair
A = TypeVar("A")
# (replica that acts, what it does; or the replica whose state it merges when there is nothing to do)
Step: TypeAlias = tuple[int, A | None, int]


class Laws(Generic[S, A]):
    """Runs the laws over random histories of a few replicas.

    Args:
        new: makes an empty replica for an actor.
        change: does what an argument says to a replica; returns the delta, or None when nothing was done.
        arguments: the strategy of arguments.
        replica_count: how many replicas take part.
        example_count: how many histories a law is tried on.

    Example:
        >>> from hypothesis import strategies as st
        >>> from quorate.crdt import GCounter
        >>> laws = Laws(lambda actor: GCounter(actor=actor), lambda c, n: c.increment(n), st.integers(1, 9))
        >>> laws.check_join(), laws.check_inflation(), laws.check_deltas(), laws.check_delivery(), laws.check_bytes()
        (None, None, None, None, None)
    """

    def __init__(
        self,
        new: Callable[[int], S],
        change: Callable[[S, A], object],
        arguments: "SearchStrategy[A]",
        *,
        replica_count: int = 3,
        example_count: int = 40,
    ) -> None:
        self._new = new
        self._change = change
        self._arguments = arguments
        self._replica_count = replica_count
        self._example_count = example_count

    def check_all(self) -> None:
        """Check every law."""
        self.check_join()
        self.check_inflation()
        self.check_deltas()
        self.check_delivery()
        self.check_bytes()

    def check_join(self) -> None:
        """Merge is commutative, associative and idempotent, and leaves its argument alone."""

        def law(steps: list[Step[A]]) -> None:
            replicas, _ = self._play(steps)
            a, b, c = replicas[0], replicas[1], replicas[-1]
            before = b.to_bytes()
            assert _joined(a, b) == _joined(b, a), "merge is commutative"
            assert b.to_bytes() == before, "merge leaves its argument alone"
            assert _joined(_joined(a, b), c) == _joined(a, _joined(b, c)), "merge is associative"
            assert _joined(a, a) == a, "merge is idempotent"
            assert _joined(_joined(a, b), b) == _joined(a, b), "merge absorbs what it has"

        self._run(law)

    def check_inflation(self) -> None:
        """A change only adds knowledge: the new state absorbs the old one."""

        def law(steps: list[Step[A]]) -> None:
            replicas = self._replicas()
            for actor, argument, other in steps:
                before = replicas[actor].copy()
                self._step(replicas, actor, argument, other)
                assert _joined(before, replicas[actor]) == replicas[actor], "changes are inflationary"

        self._run(law)

    def check_deltas(self) -> None:
        """A delta does to its origin's old state what the change did; `delta` brings another state up to date."""

        def law(steps: list[Step[A]]) -> None:
            replicas = self._replicas()
            for actor, argument, other in steps:
                before = replicas[actor].copy()
                delta = self._step(replicas, actor, argument, other)
                if delta is not None:
                    before.apply(delta)
                    assert before == replicas[actor], "a delta is the change"
            for a in replicas:
                for b in replicas:
                    other_side = b.copy()
                    other_side.apply(a.delta(b))
                    assert other_side == _joined(b, a), "delta(since) is what merge would bring"

        self._run(law)

    def check_delivery(self) -> None:
        """All deltas, in any order and with repetitions, make all replicas equal."""
        from hypothesis import strategies as st

        def law(steps: list[Step[A]], chance: Any) -> None:
            replicas, deltas = self._play(steps)
            final = replicas[0].copy()
            for replica in replicas:
                final.merge(replica)
            for replica in [*replicas, self._new(len(replicas))]:
                order = [*deltas, *deltas[: len(deltas) // 2]]
                chance.shuffle(order)
                for delta in order:
                    replica.apply(delta)
                assert replica == final, "replicas that saw the same changes are equal"

        self._run(law, st.randoms(use_true_random=False))

    def check_bytes(self) -> None:
        """Bytes and pickles give back the same state, and equal states the same bytes."""

        def law(steps: list[Step[A]]) -> None:
            replicas, _ = self._play(steps)
            for replica in replicas:
                again = type(replica).from_bytes(replica.to_bytes())
                assert again == replica, "bytes give back the state"
                assert pickle.loads(pickle.dumps(replica)) == replica, "pickles give back the state"
                again.merge(replica)
                assert again == replica, "a decoded state is the same state"

        self._run(law)

    def _replicas(self) -> list[S]:
        return [self._new(actor) for actor in range(self._replica_count)]

    def _play(self, steps: list[Step[A]]) -> tuple[list[S], list[object]]:
        replicas = self._replicas()
        deltas = [self._step(replicas, actor, argument, other) for actor, argument, other in steps]
        return replicas, [delta for delta in deltas if delta is not None]

    def _step(self, replicas: list[S], actor: int, argument: A | None, other: int) -> object:
        if argument is not None:
            return self._change(replicas[actor], argument)
        replicas[actor].merge(replicas[other])
        return None

    def _run(self, law: Callable[..., None], *more: "SearchStrategy[Any]") -> None:
        from hypothesis import given, settings
        from hypothesis import strategies as st

        replica = st.integers(0, self._replica_count - 1)
        # Two changes to one merge: enough to meet, enough to differ.
        argument = st.one_of(self._arguments, self._arguments, st.none())
        steps = st.lists(st.tuples(replica, argument, replica), max_size=12)
        run = settings(max_examples=self._example_count, deadline=None, derandomize=True)
        run(given(steps, *more)(law))()


def _joined(left: S, right: S) -> S:
    joined = left.copy()
    joined.merge(right)
    return joined
