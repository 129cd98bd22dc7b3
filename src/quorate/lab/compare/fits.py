"""The published latency fits: how long messages took at LinkedIn and Yammer, and across continents.

A fit says how long each of four one-way messages takes for one replica: the write request (W), its acknowledgement
(A), the read request (R) and its response (S). All times in milliseconds, as published.

Source: Bailis, Venkataraman, Franklin, Hellerstein & Stoica 2012, "Probabilistically bounded staleness for practical
partial quorums", section 5.2 and table 3.
"""

import math
import random
from typing import TYPE_CHECKING, Final

import msgspec

from quorate.kernel.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPLICA_COUNT: Final = 3


class Mixture(msgspec.Struct, frozen=True):
    """A Pareto body with an exponential tail; milliseconds."""

    # Share of the body.
    share: float
    # Of the Pareto: its least value and its shape.
    least: float
    shape: float
    # Of the exponential: one over its mean.
    rate: float

    def draw(self, rng: random.Random) -> float:
        """Return one delay."""
        rest = 1.0 - rng.random()
        if rng.random() < self.share:
            return self.least * math.pow(rest, -1.0 / self.shape)
        return -math.log(rest) / self.rate

    def draw_many(self, generator: "np.random.Generator", shape: tuple[int, int]) -> "NDArray[np.float64]":
        """Return many delays."""
        import numpy as np

        rest = 1.0 - generator.random(shape)
        is_body = generator.random(shape) < self.share
        return np.where(is_body, self.least * rest ** (-1.0 / self.shape), -np.log(rest) / self.rate)


class Fit(msgspec.Struct, frozen=True):
    """How long the four messages of one replica take."""

    name: str
    # Of a write request; its acknowledgement, a read request and its response share the other one.
    write: Mixture
    other: Mixture
    # Beyond it, one way, to the replicas in other data centres; each replica is in its own, clients are in any.
    far_ms: float = 0.0


_SSD: Final = Mixture(0.9122, 0.235, 10.0, 1.66)
_DISK: Final = Mixture(0.38, 1.05, 1.51, 0.183)

FITS: Final = {
    fit.name: fit
    for fit in (
        Fit("LNKD-SSD", _SSD, _SSD),
        Fit("LNKD-DISK", _DISK, _SSD),
        Fit("YMMR", Mixture(0.939, 3.0, 3.35, 0.0028), Mixture(0.982, 1.5, 3.8, 0.0217)),
        Fit("WAN", _DISK, _SSD, far_ms=75.0),
    )
}


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What the paper says of one fit and one pair of quorums, N = 3."""

    fit: str
    read_quorum: int
    write_quorum: int
    # Probability that a read right after the acknowledgement is consistent.
    at_once: float | None = None
    # After how many milliseconds 99.9 % of the reads are.
    visible_ms: float | None = None
    # 99.9th percentile of a read and of a write together, milliseconds.
    latency_ms: float | None = None


PUBLISHED: Final = (
    Published(fit="LNKD-SSD", read_quorum=1, write_quorum=1, at_once=0.974, visible_ms=1.85),
    Published(fit="LNKD-DISK", read_quorum=1, write_quorum=1, at_once=0.439, visible_ms=45.5),
    Published(fit="YMMR", read_quorum=1, write_quorum=1, at_once=0.893, visible_ms=1364.0, latency_ms=16.4),
    Published(fit="YMMR", read_quorum=2, write_quorum=1, visible_ms=202.0, latency_ms=43.3),
    Published(fit="WAN", read_quorum=1, write_quorum=1, at_once=0.33),
)


def fit_named(name: str) -> Fit:
    """Return a published fit.

    Raises:
        UsageError: there is none of that name.
    """
    found = FITS.get(name.upper())
    if found is None:
        raise UsageError(f"fit: {', '.join(FITS)}; not {name!r}")
    return found
