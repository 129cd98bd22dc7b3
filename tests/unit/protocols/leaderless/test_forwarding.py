"""Changes that only an owner coordinates: forwarded, applied once, and answered."""

import pytest

from quorate.kernel import NodeId, Received, marks, milliseconds, seconds
from quorate.protocols.leaderless import Answered, Bundle, Delete, Failed, Forward, Forwarded, Put
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"key"


@pytest.fixture
def cluster() -> LeaderlessCluster:
    return LeaderlessCluster(6, rule="siblings")


def outsider_of(cluster: LeaderlessCluster) -> int:
    owners = cluster.machine(1).router.route(KEY).nodes
    return next(node for node in cluster.boxes if node not in owners)


def siblings(cluster: LeaderlessCluster) -> int:
    owners = cluster.machine(1).router.route(KEY).nodes
    return max(cluster.rule.sibling_count(cluster.cell(node, KEY)) for node in owners)


def test_a_change_with_a_dot_goes_to_an_owner_and_the_answer_comes_back(cluster: LeaderlessCluster) -> None:
    node = outsider_of(cluster)
    with marks.expect("leaderless: a change is forwarded to an owner"):
        answer = cluster.put(node, KEY, b"v")
    assert isinstance(answer, Answered)
    assert cluster.rule.seen(answer.cell).values == (b"v",)
    assert cluster.cell(node, KEY) == b""
    assert cluster.machine(node).pending_count == 0
    assert isinstance(cluster.delete(node, KEY), Answered)
    assert cluster.get(node, KEY) == ()


def test_lww_forwards_deletes_and_no_puts() -> None:
    """A delete must know what is there; a put needs nothing."""
    cluster = LeaderlessCluster(6)
    node = outsider_of(cluster)
    cluster.request(node, KEY, Put(b"v"))
    assert not any(isinstance(part, Forward) for _, _, part in cluster.parts())
    cluster.settle()
    cluster.request(node, KEY, Delete())
    assert any(isinstance(part, Forward) for _, _, part in cluster.parts())


def test_a_repeated_forward_is_not_applied_again(cluster: LeaderlessCluster) -> None:
    node = outsider_of(cluster)
    cluster.put(node, KEY, b"warm up")
    before = siblings(cluster)
    token = cluster.request(node, KEY, Put(b"v"))
    letter = next(letter for letter in cluster.wire if isinstance(letter.bundle.parts[0], Forward))
    with marks.expect("leaderless: a repeated forward is not applied again"):
        cluster.deliver(letter, repeat=True)
        cluster.deliver(letter, repeat=True)
        cluster.settle()
    cluster.wire.append(letter)
    cluster.settle()
    assert isinstance(cluster.answer(token), Answered)
    assert siblings(cluster) == before + 1


def test_a_lost_answer_is_given_again(cluster: LeaderlessCluster) -> None:
    node = outsider_of(cluster)
    token = cluster.request(node, KEY, Put(b"v"))
    while not any(isinstance(part, Forwarded) and not part.code for _, _, part in cluster.parts()):
        cluster.deliver(cluster.wire[0])
    cluster.wire = [letter for letter in cluster.wire if not isinstance(letter.bundle.parts[0], Forwarded)]
    cluster.run(milliseconds(600))
    assert isinstance(cluster.answer(token), Answered)
    assert siblings(cluster) == 1


def test_a_forward_that_was_repeated_across_a_restart_is_not_applied_again(cluster: LeaderlessCluster) -> None:
    """The owner has forgotten what it applied; it knows by its life that it was not asked."""
    node = outsider_of(cluster)
    cluster.put(node, KEY, b"warm up")
    token = cluster.request(node, KEY, Put(b"v"))
    letter = next(letter for letter in cluster.wire if isinstance(letter.bundle.parts[0], Forward))
    cluster.deliver(letter, repeat=True)
    cluster.wire = []
    owner = letter.to
    before = cluster.rule.sibling_count(cluster.cell(owner, KEY))
    cluster.crash(owner)
    cluster.restart(owner)
    cluster.tick()
    cluster.wire.append(letter)
    with (
        marks.expect("leaderless: a forward to another life is refused"),
        marks.expect("leaderless: the life of an owner that was asked has ended"),
    ):
        cluster.settle()
    assert cluster.rule.sibling_count(cluster.cell(owner, KEY)) == before
    answer = cluster.answer(token)
    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("TIMEDOUT", "maybe")


def test_a_lost_forward_ends_maybe(cluster: LeaderlessCluster) -> None:
    node = outsider_of(cluster)
    cluster.put(node, KEY, b"warm up")
    owners = cluster.machine(1).router.route(KEY).nodes
    token = cluster.request(node, KEY, Put(b"v"))
    cluster.cut([node], owners)
    with marks.expect("leaderless: a forward ends without an answer"):
        cluster.run(seconds(3))
    answer = cluster.answer(token)
    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("TIMEDOUT", "maybe")


def test_a_forward_that_no_life_was_asked_did_certainly_not_happen(cluster: LeaderlessCluster) -> None:
    node = outsider_of(cluster)
    cluster.machine(node).lives.clear()
    cluster.cut([node], cluster.machine(1).router.route(KEY).nodes)
    token = cluster.request(node, KEY, Put(b"v"))
    cluster.run(seconds(3))
    answer = cluster.answer(token)
    assert isinstance(answer, Failed)
    assert answer.happened == "no"


def test_without_a_reachable_owner_nothing_is_sent(cluster: LeaderlessCluster) -> None:
    for owner in cluster.machine(1).router.route(KEY).nodes:
        cluster.down(owner)
    answer = cluster.put(outsider_of(cluster), KEY, b"v")
    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("UNREACHABLE", "no")


def test_the_owners_refusal_comes_back(cluster: LeaderlessCluster) -> None:
    node = outsider_of(cluster)
    answer = cluster.put(node, KEY, b"v", context=b"\x02nonsense")
    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("BADTOKEN", "no")


def test_the_owners_missed_level_comes_back(cluster: LeaderlessCluster) -> None:
    node = outsider_of(cluster)
    owners = cluster.machine(1).router.route(KEY).nodes
    cluster.put(node, KEY, b"warm up")
    cluster.cut([owners[0]], owners[1:])
    token = cluster.request(node, KEY, Put(b"v"), level="ALL")
    cluster.run(seconds(3))
    answer = cluster.answer(token)
    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("TIMEDOUT", "maybe")


def test_a_node_that_is_no_owner_refuses(cluster: LeaderlessCluster) -> None:
    node = outsider_of(cluster)
    machine = cluster.machine(node)
    part = Forward(1, machine.life, KEY, Put(b"v"), "ONE", b"", seconds(1))
    with marks.expect("leaderless: a forward to a node that is no owner is refused"):
        cluster.step(node, Received(NodeId(1 if node != 1 else 2), Bundle(2, 5, (part,))))
    (_, _, result) = cluster.parts()[0]
    assert isinstance(result, Forwarded)
    assert (result.code, result.is_maybe) == ("UNREACHABLE", False)


@pytest.mark.parametrize(
    ("key", "level", "timeout"), [(b"x" * 70_000, "ONE", 1), (KEY, "MOST", 1), (KEY, "ONE", 0), (KEY, "ONE", 1 << 60)]
)
def test_a_forward_that_makes_no_sense_is_refused(
    cluster: LeaderlessCluster, key: bytes, level: str, timeout: int
) -> None:
    machine = cluster.machine(1)
    part = Forward(1, machine.life, key, Put(b"v"), level, b"", timeout)
    with marks.expect("leaderless: a forward that makes no sense is refused"):
        cluster.step(1, Received(NodeId(2), Bundle(2, 5, (part,))))
    assert machine.refused_count == 1


def test_fire_and_forget_is_forwarded_and_answered_at_once(cluster: LeaderlessCluster) -> None:
    node = outsider_of(cluster)
    cluster.put(node, KEY, b"warm up")
    token = cluster.request(node, KEY, Put(b"v"), level="NONE")
    assert isinstance(cluster.answer(token), Answered)
    cluster.settle()
    assert b"v" in cluster.get(1, KEY)


def test_fire_and_forget_reaches_an_owner_whose_life_is_not_known(cluster: LeaderlessCluster) -> None:
    node = outsider_of(cluster)
    cluster.machine(node).lives.clear()
    token = cluster.request(node, KEY, Put(b"v"), level="NONE")
    cluster.settle()
    assert cluster.answer(token) is not None
    assert cluster.get(1, KEY) == (b"v",)
    assert cluster.machine(node).pending_count == 0


def test_a_repeated_forward_is_answered_with_the_cell_of_then(cluster: LeaderlessCluster) -> None:
    """The cell of now may hold a write that nobody was promised yet; a client would take it for read and durable."""
    node = outsider_of(cluster)
    cluster.put(node, KEY, b"warm up")
    token = cluster.request(node, KEY, Put(b"v"))
    forward = next(letter for letter in cluster.wire if isinstance(letter.bundle.parts[0], Forward))
    while not any(isinstance(part, Forwarded) for _, _, part in cluster.parts()):
        cluster.deliver(cluster.wire[0])
    cluster.wire = [forward]
    then = cluster.cell(forward.to, KEY)
    cluster.box(forward.to).is_slow = True
    cluster.request(forward.to, KEY, Put(b"not stable"))
    cluster.settle()
    answer = cluster.answer(token)
    assert isinstance(answer, Answered)
    assert answer.cell == then


def test_an_answer_that_is_not_kept_any_more_ends_maybe(cluster: LeaderlessCluster) -> None:
    owner = cluster.machine(1).router.route(KEY).nodes[0]
    machine, sender = cluster.machine(owner), NodeId(outsider_of(cluster))

    def forward(number: int) -> Forwarded:
        part = Forward(number, machine.life, KEY, Put(b"v"), "ONE", b"", seconds(1))
        cluster.wire.clear()
        cluster.step(owner, Received(sender, Bundle(2, 7, (part,))))
        return next(part for _, _, part in cluster.parts() if isinstance(part, Forwarded))

    for number in range(1, 260):
        if number in {50, 90, 130, 170, 210, 250}:
            cluster.machine(owner).cells.pop(KEY)  # siblings are limited
        forward(number)
    assert forward(250).code == ""
    assert (forward(1).code, forward(1).is_maybe) == ("TIMEDOUT", True)


def test_the_life_that_was_silent_for_longest_is_forgotten(cluster: LeaderlessCluster) -> None:
    """Not one that still speaks: its repeated forwards would be applied again."""
    owner = cluster.machine(1).router.route(KEY).nodes[0]
    machine, sender = cluster.machine(owner), NodeId(outsider_of(cluster))

    def forward(life: int, number: int) -> None:
        part = Forward(number, machine.life, KEY, Put(b"v"), "ONE", b"", seconds(1))
        cluster.step(owner, Received(sender, Bundle(2, life, (part,))))
        cluster.settle()

    for life in range(1000, 1600):
        forward(life, 1)
        forward(7, life)
    before = cluster.cell(owner, KEY)
    with marks.expect("leaderless: a repeated forward is not applied again"):
        forward(7, 1000)
    assert cluster.cell(owner, KEY) == before


def test_many_forwards_are_remembered_and_the_oldest_forgotten(cluster: LeaderlessCluster) -> None:
    """What is forgotten is refused, not applied."""
    machine = cluster.machine(cluster.machine(1).router.route(KEY).nodes[0])
    sender = NodeId(outsider_of(cluster))

    def forward(number: int) -> None:
        part = Forward(number, machine.life, b"%d" % number, Put(b"v"), "NOSUCH", b"", 1)
        cluster.step(machine.node, Received(sender, Bundle(2, 5, (part,))))

    for number in range(1, 4200):
        forward(number)
    refused = machine.refused_count
    forward(50)
    forward(4199)
    assert machine.refused_count == refused == 4199
