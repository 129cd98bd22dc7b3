"""Probabilistically bounded staleness: how likely a read is to see the last write, some time after it was acknowledged.

Theory. A write is sent to all N replicas and acknowledged when W of them have answered: replica i has it after W_i, its
answer is back after W_i + A_i. A read that begins t after that reaches replica i after R_i and is answered after
R_i + S_i; the first R answers count. It sees the write if one of these had it by then: W_i <= commit + t + R_i.
So one trial has one number, the least t from which on its read is consistent (at most 0: at once), and the sorted
numbers of many trials are the whole curve.

Source      Bailis et al. 2012, section 3 (k-staleness, closed form) and 4 (WARS, Monte Carlo).
Limits      As in the paper: no failures, no hints, no repair, replicas independent of each other.
Complexity  O(trials * N log N).
"""

import heapq
import importlib.util
import math
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from quorate.kernel import Seeds
from quorate.kernel.errors import UsageError
from quorate.lab.compare.fits import REPLICA_COUNT, Fit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Round: TypeAlias = tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]]
"""The delays W, A, R and S of one trial, a number for each replica, milliseconds."""

Draw: TypeAlias = Callable[[random.Random], Round]


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What many trials came to; milliseconds, each list ascending."""

    # From when after the acknowledgement the read of each trial is consistent; at most 0: at once.
    consistent_from: list[float]
    write_latencies: list[float]
    read_latencies: list[float]

    def consistent_at(self, after_ms: float) -> float:
        """Return the probability that a read which begins so long after the acknowledgement is consistent."""
        return bisect_right(self.consistent_from, after_ms) / len(self.consistent_from)

    def visible_ms(self, share: float = 0.999) -> float:
        """Return how long after the acknowledgement this share of the reads is consistent; 0: at once."""
        return max(0.0, quantile(self.consistent_from, share))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of some ascending values that a share of them does not exceed; NaN when there are none."""
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def checked_quorums(n: int, r: int, w: int) -> None:
    """Raise UsageError unless the quorums fit the replicas."""
    if not (1 <= r <= n and 1 <= w <= n):
        raise UsageError(f"quorums: from 1 to the {n} replicas, not r={r}, w={w}")


def miss_probability(n: int, r: int, w: int, *, version_count: int = 1) -> float:
    """Return how likely a read misses the last so many versions when both quorums are drawn blindly.

    The bound for a system that does no more than its quorums, with no time between write and read.

    Source: Bailis et al. 2012, section 3.1, equation 2.

    Example:
        >>> round(miss_probability(3, 1, 1), 3), miss_probability(3, 2, 2)
        (0.667, 0.0)
    """
    checked_quorums(n, r, w)
    return (math.comb(n - w, r) / math.comb(n, r)) ** version_count


def predict(draw: Draw, *, r: int, w: int, trial_count: int, rng: random.Random) -> Prediction:
    """Make trials one by one, in plain Python: the same numbers on every machine.

    Args:
        draw: returns the delays of one trial, a number per replica; `math.inf` for a replica that is not asked.
        r: answers that a read waits for.
        w: answers that a write waits for.
        trial_count: how many.
        rng: the source of all choices.
    """
    consistent_from: list[float] = []
    write_latencies: list[float] = []
    read_latencies: list[float] = []
    for _ in range(trial_count):
        writes, acks, reads, answers = draw(rng)
        commit = heapq.nsmallest(w, map(sum, zip(writes, acks, strict=True)))[-1]
        order = sorted([(there + back, place) for place, (there, back) in enumerate(zip(reads, answers, strict=True))])
        consistent_from.append(min([writes[place] - commit - reads[place] for _, place in order[:r]]))
        write_latencies.append(commit)
        read_latencies.append(order[r - 1][0])
    return Prediction(
        consistent_from=sorted(consistent_from),
        write_latencies=sorted(write_latencies),
        read_latencies=sorted(read_latencies),
    )


def predict_fit(
    fit: Fit, *, r: int = 1, w: int = 1, trial_count: int = 100_000, seed: int = 1, with_numpy: bool | None = None
) -> Prediction:
    """Predict a published fit at N = 3.

    Args:
        fit: how long messages take.
        r: answers that a read waits for.
        w: answers that a write waits for.
        trial_count: how many trials; the error of a probability is about half of 1 / sqrt(trials).
        seed: repeats them.
        with_numpy: in batches by NumPy (other draws, the same law); None: where it is installed.

    Raises:
        UsageError: quorums that three replicas do not have, no trials.
    """
    checked_quorums(REPLICA_COUNT, r, w)
    if trial_count < 1:
        raise UsageError(f"trials: 1 or more, not {trial_count}")
    if importlib.util.find_spec("numpy") is not None if with_numpy is None else with_numpy:
        return _predict_many(fit, r, w, trial_count, seed)
    return predict(lambda rng: _round(fit, rng), r=r, w=w, trial_count=trial_count, rng=Seeds(seed).stream("pbs"))


def _round(fit: Fit, rng: random.Random) -> Round:
    replicas = range(REPLICA_COUNT)
    writes = [fit.write.draw(rng) for _ in replicas]
    acks, reads, answers = ([fit.other.draw(rng) for _ in replicas] for _ in range(3))
    if fit.far_ms:
        # Writer and reader are each in one of the data centres; the replicas of the others are far away.
        writer, reader = rng.randrange(REPLICA_COUNT), rng.randrange(REPLICA_COUNT)
        writes, acks = _far(writes, writer, fit), _far(acks, writer, fit)
        reads, answers = _far(reads, reader, fit), _far(answers, reader, fit)
    return writes, acks, reads, answers


def _far(delays: Sequence[float], home: int, fit: Fit) -> list[float]:
    return [delay if place == home else delay + fit.far_ms for place, delay in enumerate(delays)]


def _predict_many(fit: Fit, r: int, w: int, trial_count: int, seed: int) -> Prediction:
    import numpy as np

    generator = np.random.default_rng(seed)
    shape = (trial_count, REPLICA_COUNT)
    writes = fit.write.draw_many(generator, shape)
    acks, reads, answers = (fit.other.draw_many(generator, shape) for _ in range(3))
    if fit.far_ms:
        homes = generator.integers(0, REPLICA_COUNT, (2, trial_count, 1))
        from_writer, from_reader = fit.far_ms * (np.arange(REPLICA_COUNT) != homes)
        writes, acks = writes + from_writer, acks + from_writer
        reads, answers = reads + from_reader, answers + from_reader
    commits = np.sort(writes + acks, axis=1)[:, w - 1]
    trips = reads + answers
    first = np.argsort(trips, axis=1)[:, :r]
    behind = np.take_along_axis(writes - reads, first, axis=1).min(axis=1) - commits
    return Prediction(
        consistent_from=_ascending(behind),
        write_latencies=_ascending(commits),
        read_latencies=_ascending(np.sort(trips, axis=1)[:, r - 1]),
    )


def _ascending(values: "NDArray[np.float64]") -> list[float]:
    """Return an array's values in ascending order, as Python's own numbers."""
    import numpy as np

    ordered: list[float] = np.sort(values).tolist()
    return ordered
