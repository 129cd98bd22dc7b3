"""What a repair has heard: every peer in every piece of every range, or it is not done."""

from quorate.kernel import HASH_COUNT, NodeId, hash_key
from quorate.protocols.anti_entropy import Interval as Run
from quorate.protocols.anti_entropy import SharedRange, pieces
from quorate.server.repairs import Repair

ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)
MIDDLE = HASH_COUNT // 2
RANGES = (SharedRange(0, MIDDLE, (TWO, THREE)), SharedRange(MIDDLE, HASH_COUNT, (TWO,)))


def test_it_is_done_when_every_peer_agreed_on_every_range() -> None:
    repair = Repair(RANGES)
    repair.agree(TWO, 0, MIDDLE)
    repair.agree(TWO, MIDDLE, HASH_COUNT)
    assert repair.open_peers() == {THREE: None}
    assert repair.report(ONE, ())[b"agreed"] == 1
    repair.agree(THREE, 0, MIDDLE)
    assert repair.report(ONE, ()) == {
        b"node": 1, b"ranges": 2, b"agreed": 2, b"differed": 0, b"repaired": 0, b"unreachable": [], b"is_done": 1,
    }  # fmt: skip


def test_pieces_that_agree_at_different_times_add_up() -> None:
    repair = Repair(RANGES[1:])
    parts = pieces(Run(MIDDLE, HASH_COUNT))
    for part in parts[1:]:
        repair.agree(TWO, *part)
    assert repair.report(ONE, ())[b"agreed"] == 0
    repair.agree(TWO, *parts[0])
    assert repair.report(ONE, ())[b"is_done"] == 1


def test_a_key_is_repaired_when_its_piece_has_agreed() -> None:
    """With all that share it: one copy that is mended is not all copies."""
    repair = Repair(RANGES[:1])
    key = next(key for key in (b"k%d" % n for n in range(99)) if hash_key(key) < MIDDLE)
    repair.differ(TWO, [key])
    repair.differ(THREE, [key])
    repair.agree(TWO, 0, MIDDLE)
    assert (repair.report(ONE, ())[b"differed"], repair.report(ONE, ())[b"repaired"]) == (1, 0)
    repair.agree(THREE, 0, MIDDLE)
    assert repair.report(ONE, ())[b"repaired"] == 1


def test_a_peer_is_away_when_it_is_known_to_be_or_never_answered() -> None:
    repair = Repair(RANGES)
    assert repair.report(ONE, ())[b"unreachable"] == [2, 3]
    repair.differ(TWO, [b"k"])
    repair.agree(THREE, 0, 1)
    assert repair.report(ONE, (THREE,))[b"unreachable"] == [3], "it differs, and it answers"


def test_strangers_and_other_runs_change_nothing() -> None:
    repair = Repair(RANGES)
    repair.agree(NodeId(9), 0, HASH_COUNT)
    repair.agree(TWO, 5, MIDDLE - 5)
    assert list(repair.open_peers()) == [TWO, THREE]
    assert repair.report(ONE, ())[b"agreed"] == 0
