"""One member of SWIM, driven by hand."""

import random

import pytest

from quorate.kernel import (
    Called,
    Deliver,
    Effect,
    Instant,
    Message,
    NodeId,
    Received,
    Send,
    Started,
    TimerFired,
    marks,
    milliseconds,
    seconds,
)
from quorate.kernel.errors import ConfigError
from quorate.protocols.swim import (
    ALIVE,
    DEAD,
    INCARNATION_MAX,
    LEFT,
    SUSPECT,
    TRANSITIONS,
    Ack,
    Departed,
    Gossip,
    Joined,
    Known,
    Leave,
    Member,
    MemberChanged,
    Members,
    Nack,
    Ping,
    PingRequest,
    ProbeOrder,
    Refused,
    Rumours,
    Swim,
    SwimConfig,
    SyncRequest,
    SyncState,
    UpdateMetadata,
    supersedes,
)


def member(count: int = 5, **fields: object) -> Swim:
    """Node 1 among others that it knows, started at time 0."""
    known = Known(Member(node, 0, ALIVE) for node in range(1, count + 1))
    machine = Swim(SwimConfig.profile("lan", node=NodeId(1), **{"known": known, **fields}), (), random.Random(7))
    machine.step(Started(), now=Instant(0))
    return machine


def hear(machine: Swim, sender: int, message: Message, *, after_ms: float = 1) -> list[Effect]:
    now = Instant(machine.now + milliseconds(after_ms))
    return machine.step(Received(NodeId(sender), message), now=now)


def fire(machine: Swim, timer: str, *, at: int | None = None) -> list[Effect]:
    due = machine.probe_due_at if timer == "probe" else machine.now
    return machine.step(TimerFired(timer), now=Instant(max(machine.now, due if at is None else at)))


def sent(effects: list[Effect], kind: type[Message]) -> list[tuple[int, Message]]:
    return [
        (effect.to, effect.message)
        for effect in effects
        if isinstance(effect, Send) and isinstance(effect.message, kind)
    ]


def news(effects: list[Effect]) -> list[tuple[str, int]]:
    outputs = [effect.output for effect in effects if isinstance(effect, Deliver)]
    return [(output.kind, output.member.node) for output in outputs if isinstance(output, MemberChanged)]


def status(machine: Swim, node: int) -> str:
    known = machine.members.get(NodeId(node))
    assert known is not None
    return known.status_name


# News.


def test_every_change_of_status_is_in_the_table_of_transitions() -> None:
    """The order of `supersedes` allows exactly the changes that TRANSITIONS names."""
    names = ("alive", "suspect", "dead", "left")
    possible = {
        (names[before], names[after])
        for before in range(4)
        for after in range(4)
        for rise in (0, 1)
        if supersedes(Member(2, rise, after), Member(2, 0, before))
    }
    assert possible == {(before, after) for before, after, _ in TRANSITIONS}


def test_news_of_the_same_incarnation_wins_only_when_it_is_worse() -> None:
    machine = member()
    assert news(hear(machine, 3, Gossip((Member(2, 0, SUSPECT, accuser=3),)))) == [("suspected", 2)]
    assert news(hear(machine, 3, Gossip((Member(2, 0, ALIVE),)))) == []
    assert news(hear(machine, 3, Gossip((Member(2, 1, ALIVE),)))) == [("refuted", 2)]
    assert news(hear(machine, 3, Gossip((Member(2, 0, DEAD),)))) == []
    assert news(hear(machine, 3, Gossip((Member(2, 1, DEAD),)))) == [("failed", 2)]
    assert news(hear(machine, 3, Gossip((Member(2, 2, ALIVE),)))) == [("rejoined", 2)]


def test_a_new_member_is_announced_with_its_metadata_and_told_on() -> None:
    machine = member()
    effects = hear(machine, 2, Gossip((Member(9, 3, ALIVE, b"zone=a"),)))
    assert news(effects) == [("joined", 9)]
    assert machine.members.get(NodeId(9)) == Member(9, 3, ALIVE, b"zone=a")
    assert sent(fire(machine, "gossip"), Gossip)[0][1].rumours == (Member(9, 3, ALIVE, b"zone=a"),)


def test_the_death_of_a_stranger_is_remembered_and_not_announced() -> None:
    """An older rumour of its life must not bring it in afterwards."""
    machine = member()
    assert news(hear(machine, 2, Gossip((Member(9, 3, DEAD),)))) == []
    assert news(hear(machine, 2, Gossip((Member(9, 3, ALIVE),)))) == []
    assert status(machine, 9) == "dead"


def test_an_accused_member_refutes_with_a_higher_incarnation() -> None:
    machine = member()
    with marks.expect("swim: a member refuted what was said of it"):
        hear(machine, 2, Gossip((Member(1, 4, SUSPECT, accuser=2),)))
    assert machine.own == Member(1, 5, ALIVE)
    assert machine.health == 1
    assert any(Member(1, 5, ALIVE) in message.rumours for _, message in sent(fire(machine, "gossip"), Gossip))


def test_a_restarted_member_replaces_its_former_metadata() -> None:
    """Same incarnation, other metadata: what others remember is of a former life."""
    machine = member(metadata=b"port=2")
    hear(machine, 2, SyncState((Member(1, 0, ALIVE, b"port=1"),), wants_answer=True))
    assert machine.own == Member(1, 1, ALIVE, b"port=2")


def test_absurd_incarnations_are_refused_and_counted() -> None:
    machine = member()
    with marks.expect("swim: an absurd incarnation was refused"):
        hear(
            machine,
            2,
            Gossip((Member(3, INCARNATION_MAX, DEAD), Member(1, INCARNATION_MAX, DEAD), Member(8, 1 << 40, ALIVE))),
        )
    assert machine.refused_count == 3
    assert machine.own.incarnation == 0
    assert status(machine, 3) == "alive"
    assert machine.members.get(NodeId(8)) is None


def test_invented_members_beyond_the_limit_are_refused() -> None:
    machine = member(member_count_max=6)
    with marks.expect("swim: a member beyond the limit was refused"):
        hear(machine, 2, Gossip(tuple(Member(node, 0, ALIVE) for node in range(10, 20))))
    assert machine.members.count == 6


def test_a_foreign_message_is_ignored() -> None:
    machine = member()
    with marks.expect("swim: ignored a message that is not SWIM's"):
        assert hear(machine, 2, Message()) == []
    assert hear(machine, 1, Ping(1)) == []


# Probes.


def probe(machine: Swim) -> tuple[int, Ping]:
    [(target, ping)] = sent(fire(machine, "probe"), Ping)
    assert isinstance(ping, Ping)
    return target, ping


def test_a_ping_is_answered_with_its_number() -> None:
    assert sent(hear(member(), 3, Ping(77)), Ack) == [(3, Ack(77))]


def test_silence_leads_to_helpers_and_then_to_suspicion() -> None:
    machine = member()
    target, ping = probe(machine)
    requests = sent(fire(machine, "probe"), PingRequest)
    assert len(requests) == 3
    assert {request.target for _, request in requests} == {target}
    assert {request.sequence for _, request in requests} == {ping.sequence}
    assert news(fire(machine, "probe")) == [("suspected", target)]
    assert machine.members.get(NodeId(target)).accuser == 1


def test_a_helper_brings_the_answer_of_the_target() -> None:
    helper = member()
    [(target, ping)] = sent(hear(helper, 2, PingRequest(50, 3)), Ping)
    assert target == 3
    assert sent(hear(helper, 3, Ack(ping.sequence)), Ack) == [(2, Ack(50))]


def test_a_helper_that_hears_nothing_says_so() -> None:
    helper = member()
    [(_, ping)] = sent(hear(helper, 2, PingRequest(50, 3)), Ping)
    assert sent(fire(helper, f"relay/{ping.sequence}"), Nack) == [(2, Nack(50))]


def test_only_the_target_can_answer_for_itself() -> None:
    helper = member()
    [(_, ping)] = sent(hear(helper, 2, PingRequest(50, 3)), Ping)
    assert sent(hear(helper, 4, Ack(ping.sequence)), Ack) == []


def test_requests_beyond_the_limit_are_ignored() -> None:
    helper = member(relay_count_max=1)
    hear(helper, 2, PingRequest(50, 3))
    with marks.expect("swim: a request beyond the limit was ignored"):
        assert hear(helper, 2, PingRequest(51, 3)) == []


def test_missing_nacks_speak_against_oneself_and_nacks_do_not() -> None:
    """Lifeguard, local health: helpers that say nothing at all were not reached."""
    for nack_count, health in ((3, 0), (1, 2), (0, 3)):
        machine = member()
        _, ping = probe(machine)
        helpers = [to for to, _ in sent(fire(machine, "probe"), PingRequest)]
        for helper in helpers[:nack_count]:
            hear(machine, helper, Nack(ping.sequence))
            hear(machine, helper, Nack(ping.sequence))
        fire(machine, "probe")
        assert machine.health == health


def test_bad_health_stretches_timeout_and_interval() -> None:
    machine = member()
    machine.health = 2
    probe(machine)
    assert machine.probe_due_at - machine.now == 3 * machine.config.probe_timeout


def test_a_member_that_stood_still_accuses_nobody() -> None:
    machine = member()
    probe(machine)
    with marks.expect("swim: a member that stood still blames itself"):
        effects = fire(machine, "probe", at=machine.probe_due_at + seconds(30))
    assert news(effects) == []
    assert machine.health == 1


def test_a_window_that_ended_while_standing_still_is_given_one_more_interval() -> None:
    machine = member()
    hear(machine, 3, Gossip((Member(2, 0, SUSPECT, accuser=3),)))
    fire(machine, "suspect/2", at=machine.suspicions[NodeId(2)].deadline + seconds(60))
    assert status(machine, 2) == "suspect"
    assert news(fire(machine, "suspect/2", at=machine.suspicions[NodeId(2)].deadline)) == [("failed", 2)]


def test_confirmations_shorten_a_window_once_per_accuser() -> None:
    machine = member(10)
    hear(machine, 3, Gossip((Member(2, 0, SUSPECT, accuser=3),)))
    suspicion = machine.suspicions[NodeId(2)]
    spans = [suspicion.deadline - suspicion.began_at]
    with marks.expect("swim: a confirmation shortened a suspicion"):
        for accuser in (4, 4, 5, 6):
            hear(machine, 3, Gossip((Member(2, 0, SUSPECT, accuser=accuser),)))
            spans.append(suspicion.deadline - suspicion.began_at)
    assert [round(span / 1e9, 1) for span in spans] == [24.0, 11.4, 11.4, 4.0, 4.0]


def test_a_suspect_hears_first_that_it_is_one() -> None:
    """Lifeguard's buddy system: on every message to the suspect, however often the rumour was told before."""
    machine = member()
    hear(machine, 3, Gossip((Member(2, 0, SUSPECT, accuser=3),)))
    for sequence in range(40):
        [(_, ack)] = sent(hear(machine, 2, Ping(sequence)), Ack)
        assert ack.rumours[0] == Member(2, 0, SUSPECT, accuser=3)
    plain = member(buddy=False)
    hear(plain, 3, Gossip((Member(2, 0, SUSPECT, accuser=3),)))
    told = [sent(hear(plain, 2, Ping(sequence)), Ack)[0][1].rumours for sequence in range(40)]
    assert [bool(rumours) for rumours in told] == [True] * 4 + [False] * 36


# Coming and going.


def test_joining_asks_every_seed_until_one_answers() -> None:
    machine = Swim(SwimConfig(node=NodeId(1), seeds=(NodeId(8), NodeId(9))), (), random.Random(1))
    first = machine.step(Started(), now=Instant(0))
    assert [to for to, _ in sent(first, SyncRequest)] == [8, 9]
    assert [to for to, _ in sent(fire(machine, "join"), SyncRequest)] == [8, 9]
    effects = hear(
        machine, 9, SyncState((Member(8, 2, ALIVE), Member(9, 1, ALIVE), Member(1, 0, ALIVE)), wants_answer=True)
    )
    assert Deliver(Joined(3)) in effects
    assert fire(machine, "join") == []


def test_a_table_is_answered_with_what_the_other_lacks() -> None:
    machine = member()
    hear(machine, 2, Gossip((Member(3, 1, ALIVE),)))
    effects = hear(machine, 4, SyncState(tuple(Member(node, 0, ALIVE) for node in range(1, 5)), wants_answer=True))
    [(to, answer)] = sent(effects, SyncState)
    assert to == 4
    assert not answer.wants_answer
    assert sorted(answer.members, key=lambda told: told.node) == [Member(3, 1, ALIVE), Member(5, 0, ALIVE)]


def test_equal_tables_are_not_exchanged() -> None:
    left, right = member(), member()
    request = SyncRequest(left.members.digest, Member(2, 0, ALIVE))
    assert sent(hear(right, 2, request), SyncState) == []
    hear(left, 3, Gossip((Member(2, 1, ALIVE),)))
    different = SyncRequest(left.members.digest, Member(2, 0, ALIVE))
    assert len(sent(hear(right, 2, different), SyncState)) == 1


def test_a_member_leaves_when_its_leave_was_told() -> None:
    machine = member()
    effects = machine.step(Called(Leave()), now=Instant(seconds(1)))
    assert Deliver(Departed()) not in effects
    told = []
    for _ in range(10):
        told += fire(machine, "gossip")
    assert told.count(Deliver(Departed())) == 1
    assert len([to for to, gossip in sent(told, Gossip) if gossip.rumours[0] == Member(1, 0, LEFT)]) == 4


def test_who_has_left_does_not_refute() -> None:
    machine = member()
    machine.step(Called(Leave()), now=Instant(1))
    hear(machine, 2, Gossip((Member(1, 3, DEAD),)))
    assert machine.own.status == LEFT


def test_metadata_travels_with_a_new_incarnation() -> None:
    machine = member()
    machine.step(Called(UpdateMetadata(b"draining")), now=Instant(1))
    assert machine.own == Member(1, 1, ALIVE, b"draining")
    refusal = machine.step(Called(UpdateMetadata(b"x" * 513)), now=Instant(2))
    assert [type(effect.output) for effect in refusal if isinstance(effect, Deliver)] == [Refused]


def test_suspicion_does_not_lose_a_members_metadata() -> None:
    machine = member()
    hear(machine, 2, Gossip((Member(2, 1, ALIVE, b"zone=a"),)))
    hear(machine, 3, Gossip((Member(2, 1, SUSPECT, accuser=3),)))
    assert machine.members.get(NodeId(2)).metadata == b"zone=a"


def test_the_dead_are_forgotten_in_time() -> None:
    machine = member()
    hear(machine, 3, Gossip((Member(2, 0, DEAD),)))
    later = machine.now + machine.config.dead_retention + 1
    assert news(fire(machine, "sync", at=later)) == [("forgotten", 2)]
    assert machine.members.get(NodeId(2)) is None


def test_whoever_is_believed_dead_is_asked_again_now_and_then() -> None:
    machine = member()
    hear(machine, 3, Gossip(tuple(Member(node, 0, DEAD) for node in (2, 3, 4, 5))))
    with marks.expect("swim: one believed dead was asked again"):
        [(to, _)] = sent(fire(machine, "sync"), SyncRequest)
    assert to in {2, 3, 4, 5}


# Parts.


def test_every_round_meets_everybody_once_in_another_order() -> None:
    nodes = tuple(NodeId(node) for node in range(1, 21))
    order = ProbeOrder(nodes, random.Random(3))
    rounds = []
    for _ in range(3):
        rounds.append([order.next() for _ in nodes])
        assert order.is_round_over
        order.begin()
    assert all(sorted(met) == list(nodes) for met in rounds)
    assert len({tuple(met) for met in rounds}) == 3


def test_who_joins_within_a_round_is_met_in_its_rest() -> None:
    places = []
    for seed in range(200):
        order = ProbeOrder(tuple(NodeId(node) for node in range(1, 5)), random.Random(seed))
        order.next()
        order.add(NodeId(99))
        places.append([order.next() for _ in range(4)].index(NodeId(99)))
        assert order.is_round_over
    assert [places.count(place) > 30 for place in range(4)] == [True] * 4


def test_the_least_told_rumour_goes_first_and_each_is_told_so_often() -> None:
    rumours = Rumours()
    for node in range(1, 4):
        rumours.put(Member(node, 0, ALIVE))
    assert [told.node for told in rumours.take(bytes_max=45, limit=3)] == [3, 2]
    assert [told.node for told in rumours.take(bytes_max=25, limit=3)] == [1]
    told = [told.node for _ in range(9) for told in rumours.take(bytes_max=25, limit=3)]
    assert sorted(told) == [1, 1, 2, 2, 3, 3]
    assert not rumours


def test_a_shared_table_is_never_changed_by_those_who_share_it() -> None:
    known = Known(Member(node, 0, ALIVE) for node in range(1, 4))
    one, other = Members(known), Members(known)
    one.put(Member(2, 1, DEAD))
    one.remove(NodeId(3))
    assert [told.node for told in other] == [1, 2, 3]
    assert (one.count, one.active_count) == (2, 1)
    one.remove(NodeId(2))
    one.put(Member(3, 0, ALIVE))
    one.put(Member(2, 0, ALIVE))
    assert one.digest == other.digest


@pytest.mark.parametrize(
    "fields",
    [
        {"seeds": (NodeId(1),)},
        {"metadata": b"x" * 513},
        {"probe_timeout": seconds(1)},
        {"gossip_count": 0},
        {"gossip_interval": 0},
        {"indirect_count": -1},
        {"message_bytes_max": 500},
        {"node": NodeId(0)},
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(fields: dict) -> None:
    with pytest.raises(ConfigError):
        SwimConfig(**{"node": NodeId(1), **fields})


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="moon"):
        SwimConfig.profile("moon", node=NodeId(1))
