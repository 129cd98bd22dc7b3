"""When all owners hold what this node holds: what pairs agreed on, put together."""

from quorate.kernel import HASH_COUNT, NodeId
from quorate.protocols.anti_entropy import Interval as Run
from quorate.protocols.anti_entropy import SharedRange, pieces
from quorate.replication.agreements import Agreements, AllAgreed

TWO, THREE = NodeId(2), NodeId(3)
WHOLE = Run(0, HASH_COUNT)


def fresh() -> Agreements:
    return Agreements([SharedRange(*WHOLE, (TWO, THREE))])


def test_all_have_agreed_when_the_last_has() -> None:
    """From the earliest beginning on: what came later may be missing at the first."""
    agreements = fresh()
    assert agreements.agree(TWO, *WHOLE, 50) == []
    assert agreements.agree(THREE, *WHOLE, 90) == [AllAgreed(*WHOLE, 50)]


def test_every_agreement_counts_once() -> None:
    agreements = fresh()
    agreements.agree(TWO, *WHOLE, 50)
    agreements.agree(THREE, *WHOLE, 90)
    assert agreements.agree(THREE, *WHOLE, 120) == []
    assert agreements.agree(TWO, *WHOLE, 130) == [AllAgreed(*WHOLE, 120)]


def test_pieces_count_beside_the_whole() -> None:
    """One peer agreed on all, the other on all but the third piece."""
    agreements, parts = fresh(), pieces(WHOLE)
    agreements.agree(TWO, *WHOLE, 50)
    done = [found for part in parts if part != parts[2] for found in agreements.agree(THREE, *part, 60)]
    assert [(found.start, found.end) for found in done] == [tuple(part) for part in parts if part != parts[2]]
    assert agreements.agree(THREE, *WHOLE, 70) == [AllAgreed(*parts[2], 50)]


def test_a_peer_that_is_no_owner_does_not_count() -> None:
    agreements = fresh()
    agreements.agree(TWO, *WHOLE, 50)
    assert agreements.agree(NodeId(9), *WHOLE, 50) == []


def test_ranges_have_their_own_peers() -> None:
    agreements = Agreements([SharedRange(100, 200, (TWO,)), SharedRange(300, 400, (TWO, THREE))])
    assert agreements.agree(TWO, 100, 200, 5) == [AllAgreed(100, 200, 5)]
    assert agreements.agree(TWO, 300, 400, 5) == []
    assert agreements.agree(THREE, 100, 200, 5) == []
    assert Agreements().agree(TWO, 0, 5, 5) == []


def test_a_range_of_one_hash_is_its_own_piece() -> None:
    agreements = Agreements([SharedRange(7, 8, (TWO,))])
    assert agreements.agree(TWO, 7, 8, 5) == [AllAgreed(7, 8, 5)]
