"""A group answers every request exactly once, and says truly whether it happened."""

from typing import Any

import pytest

from quorate.kernel import NodeId
from quorate.kernel.errors import Corrupt
from quorate.protocols.raft import EMPTY, Propose, Read, ReadFailed, ReadReady, Refused
from quorate.replication import Kind
from quorate.replication.requests import FORWARD, FORWARD_RESULT
from quorate.store import OK, Command


def set_many(bench: Any, count: int, size_bytes: int = 1) -> list[Any]:
    return [bench.write(b"SET", b"k%d" % number, b"x" * size_bytes) for number in range(count)]


# -- writes --------


def test_the_commands_of_a_turn_are_one_entry_and_are_answered_in_order(bench: Any, caller: Any) -> None:
    bench.lead()
    for number in range(3):
        bench.write(b"APPEND", b"k", b"x" * (number + 1), caller=caller)
    (proposal,) = bench.propose()
    assert caller.replies == []
    bench.commit(proposal.payloads[0])
    assert caller.replies == [1, 3, 6]
    assert caller.flush_count == 1


def test_a_follower_forwards_and_answers_from_its_own_state(bench: Any, caller: Any) -> None:
    bench.lead(2)
    bench.write(b"INCR", b"n", caller=caller)
    bench.turn.end()
    ((to, kind, payload),) = bench.links.take()
    assert (to, kind) == (2, Kind.FORWARD)
    _group, _term, origin, token = FORWARD.unpack_from(payload)
    stamped = (5).to_bytes(8, "big") + origin.to_bytes(8, "big") + token.to_bytes(8, "big") + payload[FORWARD.size :]
    bench.commit(stamped)
    assert caller.replies == [1]


def test_a_leader_stamps_what_is_forwarded(bench: Any) -> None:
    bench.lead()
    bench.group.on_forward(NodeId(3), FORWARD.pack(1, 1, 77, 5) + b"batch")
    (proposal,) = bench.propose()
    assert proposal.payloads[0][8:] == (77).to_bytes(8, "big") + (5).to_bytes(8, "big") + b"batch"
    assert bench.links.take() == []
    assert bench.group._for_others == {}
    bench.commit(proposal.payloads[0])  # not a batch at all: nothing is done, the same on every replica
    assert bench.state.applied_index == 1


def test_who_does_not_lead_refuses_what_is_forwarded(bench: Any) -> None:
    bench.lead(2)
    bench.group.on_forward(NodeId(3), FORWARD.pack(1, 1, 77, 5) + b"batch")
    assert bench.host.take(Propose) == []
    assert bench.links.take() == [(3, Kind.FORWARD_RESULT, FORWARD_RESULT.pack(1, 5, 0))]


def test_a_batch_that_another_entry_displaced_certainly_did_not_happen(bench: Any, caller: Any) -> None:
    bench.lead()
    bench.write(b"SET", b"k", b"v", caller=caller)
    bench.propose()
    bench.lead(2, term=2)
    bench.commit(b"", index=1, kind=EMPTY)
    assert caller.codes == ["NOTLEADER"]
    assert bench.group.counters.lost_count == 1


def test_so_many_batches_are_out_and_the_next_one_gathers(make_bench: Any) -> None:
    bench = make_bench(inflight_batch_max=2)
    bench.lead()
    payloads = []
    for _ in range(2):
        set_many(bench, 1)
        payloads += [call.payloads[0] for call in bench.propose()]
    waiting = set_many(bench, 5)
    assert bench.propose() == []
    bench.commit(payloads[0])
    (gathered,) = bench.propose()
    bench.commit(payloads[1])
    bench.commit(gathered.payloads[0])
    assert [one.replies for one in waiting] == [[OK]] * 5


def test_a_batch_above_the_limit_is_split_and_keeps_its_order(make_bench: Any, caller: Any) -> None:
    bench = make_bench(batch_bytes_max=1000, inflight_batch_max=100)
    bench.lead()
    for number in range(10):
        bench.write(b"RPUSH", b"l", b"%d" % number + b"x" * 400, caller=caller)
    proposals = bench.propose()
    assert 3 < len(proposals) <= 10
    for call in proposals:
        bench.commit(call.payloads[0])
    assert caller.replies == list(range(1, 11))


def test_a_queue_that_never_empties_does_not_run_out_of_time_while_it_moves(make_bench: Any) -> None:
    """The deadline of the oldest command once stayed with the queue for as long as it was not empty."""
    bench = make_bench(batch_bytes_max=1000, inflight_batch_max=1)
    bench.lead()
    callers = set_many(bench, 4, 800)
    (first,) = bench.propose()
    payload = first.payloads[0]
    for _ in range(12):
        callers += set_many(bench, 1, 800)
        bench.clock.advance(1_000)
        bench.commit(payload)
        (call,) = bench.propose()
        payload = call.payloads[0]
    done = [code for one in callers for code in one.codes]
    assert done == [""] * 12


# -- refusals and time --------


def test_a_request_ends_definitely_before_it_is_proposed_and_indefinitely_after(bench: Any) -> None:
    unproposed = bench.write(b"SET", b"a", b"1")
    bench.turn.end()
    bench.clock.advance(6_000)
    bench.turn.end()
    assert unproposed.codes == ["UNREACHABLE"]
    bench.lead()
    proposed = bench.write(b"SET", b"b", b"1")
    (call,) = bench.propose()
    bench.clock.advance(6_000)
    bench.turn.end()
    assert proposed.codes == ["TIMEDOUT"]
    bench.commit(call.payloads[0])
    assert proposed.codes == ["TIMEDOUT"]
    assert bench.state.query(Command(0, [b"GET", b"b"]), 0) == b"1"


def test_a_refused_batch_waits_for_the_tick_and_keeps_its_place(bench: Any, caller: Any) -> None:
    """A leader that refuses at once, and a follower that asks again at once, would spin."""
    bench.lead(2)
    bench.write(b"RPUSH", b"l", b"1", caller=caller)
    bench.turn.end()
    ((_, _, payload),) = bench.links.take()
    token = FORWARD.unpack_from(payload)[3]
    bench.group.on_forward_result(NodeId(2), FORWARD_RESULT.pack(1, token, 0))
    bench.write(b"RPUSH", b"l", b"2", caller=caller)
    bench.turn.ask()
    bench.turn.end()
    assert bench.links.take() == []
    bench.lead(1, term=2)
    (proposal,) = bench.propose()
    bench.commit(proposal.payloads[0])
    assert caller.replies == [1, 2]


def test_a_link_that_is_away_is_tried_again_at_the_tick(bench: Any, caller: Any) -> None:
    bench.lead(2)
    bench.links.is_up = False
    bench.write(b"SET", b"k", b"v", caller=caller)
    assert bench.turn.end() == 1
    bench.links.is_up = True
    bench.clock.advance(60)
    bench.turn.end()
    assert [kind for _, kind, _ in bench.links.take()] == [Kind.FORWARD]


def test_a_machine_that_refuses_is_asked_again(bench: Any, caller: Any) -> None:
    bench.lead()
    bench.write(b"SET", b"k", b"v", caller=caller)
    bench.turn.end()
    (call,) = bench.host.take(Propose)
    bench.group.on_output(Refused(call.token, NodeId(1), "transfer in progress"))
    bench.clock.advance(60)
    (again,) = bench.propose()
    bench.commit(again.payloads[0])
    assert caller.replies == [OK]


def test_above_the_limit_requests_are_refused_and_were_never_accepted(make_bench: Any) -> None:
    bench = make_bench(pending_count_max=3)
    bench.lead()
    accepted = set_many(bench, 3)
    refused = [*set_many(bench, 1), bench.read(b"GET", b"k")]
    (call,) = bench.propose()
    assert [one.codes for one in refused] == [["OVERLOADED"]] * 2
    bench.commit(call.payloads[0])
    assert [one.replies for one in accepted] == [[OK]] * 3
    assert bench.group._pending_count == 0


def test_a_full_disk_refuses_writes_here_and_for_others_and_reads_go_on(bench: Any, caller: Any) -> None:
    bench.lead()
    bench.group.write_refusal = ("DISKFULL", "no space")
    assert bench.write(b"SET", b"k", b"v").codes == ["DISKFULL"]
    bench.group.on_forward(NodeId(3), FORWARD.pack(1, 1, 77, 5) + b"batch")
    ((_, _, answer),) = bench.links.take()
    bench.read(b"GET", b"k", caller=caller)
    (read,) = bench.reads()
    bench.group.on_output(ReadReady(read.token, 0))
    assert caller.replies == [None]
    bench.group.write_refusal = None
    bench.lead(2, term=2)
    forwarded = bench.write(b"SET", b"k", b"v")
    bench.turn.end()
    ((_, _, payload),) = bench.links.take()
    token = FORWARD.unpack_from(payload)[3]
    reason = FORWARD_RESULT.unpack(answer)[2]
    bench.group.on_forward_result(NodeId(2), FORWARD_RESULT.pack(1, token, reason))
    assert forwarded.codes == ["DISKFULL"]


# -- reads --------


def test_the_reads_of_a_turn_share_one_barrier_and_come_in_order(bench: Any, caller: Any) -> None:
    bench.lead()
    bench.commit(b"", kind=EMPTY)
    for _ in range(3):
        bench.read(b"DBSIZE", caller=caller)
    (first,) = bench.reads()
    later = bench.read(b"GET", b"k")
    (second,) = bench.reads()
    bench.group.on_output(ReadReady(second.token, 1))
    assert later.replies == []
    bench.group.on_output(ReadReady(first.token, 1))
    assert (caller.replies, later.replies) == ([0, 0, 0], [None])


def test_a_read_waits_until_its_barrier_is_applied(bench: Any, caller: Any) -> None:
    bench.lead()
    bench.read(b"GET", b"k", caller=caller)
    (read,) = bench.reads()
    bench.group.on_output(ReadReady(read.token, 1))
    assert caller.replies == []
    bench.write(b"SET", b"k", b"v")
    (call,) = bench.propose()
    bench.commit(call.payloads[0])
    assert caller.replies == [b"v"]


def test_a_read_without_an_answer_is_asked_again_and_leaves_nothing_behind(bench: Any, caller: Any) -> None:
    """Each repetition once left its token behind for ever when the answer was lost."""
    bench.lead(2)
    bench.read(b"GET", b"k", caller=caller)
    tokens = [read.token for read in bench.reads()]
    bench.group.on_output(ReadFailed(tokens[0]))
    for _ in range(8):
        bench.clock.advance(400)
        tokens += [read.token for read in bench.host.take(Read)]
    assert len(tokens) > 5
    assert list(bench.group._read_by_token) == [tokens[-1]]
    bench.group.on_output(ReadReady(tokens[3], 0))
    assert caller.replies == []
    bench.clock.advance(3_000)
    bench.turn.end()
    assert caller.codes == ["UNREACHABLE"]
    assert (bench.group._read_by_token, bench.group._pending_count) == ({}, 0)


def test_a_key_that_is_due_is_read_after_the_log_has_advanced_time(bench: Any, caller: Any) -> None:
    bench.lead()
    bench.write(b"SET", b"k", b"v", b"PX", b"100")
    (call,) = bench.propose()
    bench.commit(call.payloads[0])
    bench.clock.time += 150_000_000
    bench.read(b"GET", b"k", caller=caller)
    bench.read(b"DBSIZE", caller=caller)
    (read,) = bench.reads()
    bench.group.on_output(ReadReady(read.token, 1))
    (tick,) = bench.propose()
    assert caller.replies == []
    bench.commit(tick.payloads[0])
    assert caller.replies == [None, 0]


# -- the state is replaced --------


def test_while_the_state_is_replaced_nothing_is_applied_nor_read(bench: Any, caller: Any) -> None:
    bench.lead()
    reader = bench.read(b"GET", b"k")
    (read,) = bench.reads()
    bench.write(b"SET", b"k", b"v", caller=caller)
    (call,) = bench.propose()
    bench.group.pause()
    bench.group.on_output(ReadReady(read.token, 0))
    bench.commit(call.payloads[0])
    assert (caller.replies, reader.replies, bench.state.applied_index) == ([], [], 0)
    bench.group.replaced()
    bench.turn.end()
    assert (caller.replies, bench.state.applied_index) == ([OK], 1)
    assert reader.replies in ([None], [b"v"])


def test_an_entry_that_came_within_a_snapshot_may_have_been_ours(bench: Any) -> None:
    """Once it was said, definitely, that it had not happened."""
    bench.lead()
    waiting = bench.write(b"SET", b"a", b"1")
    bench.propose()
    bench.group.pause()
    bench.state.apply(10, 0, [])
    bench.group.replaced()
    bench.turn.end()
    assert waiting.codes == ["TIMEDOUT"]
    assert (bench.group._waiting, bench.group._pending_count) == ({}, 0)


# -- answers come in the order of the requests --------


def test_a_batch_that_a_later_one_overtook_is_lost_and_is_said_so_first(bench: Any, caller: Any) -> None:
    """Once the answer to the later request was taken for that to the earlier one."""
    bench.lead(2)
    bench.write(b"SET", b"a", b"1", caller=caller)
    bench.turn.end()
    bench.links.take()
    bench.lead(3, term=2)
    bench.write(b"INCR", b"n", caller=caller)
    bench.turn.end()
    ((_, _, payload),) = bench.links.take()
    _group, term, origin, token = FORWARD.unpack_from(payload)
    assert term == 2
    stamped = (5).to_bytes(8, "big") + origin.to_bytes(8, "big") + token.to_bytes(8, "big") + payload[FORWARD.size :]
    bench.commit(stamped)
    assert caller.codes == ["NOTLEADER", ""]
    assert caller.replies[1] == 1


def test_a_new_leaders_first_entry_ends_what_the_old_one_was_given(bench: Any, caller: Any) -> None:
    """Once it waited for its time to run out, and then nobody knew whether it had happened."""
    bench.lead(2)
    bench.write(b"SET", b"a", b"1", caller=caller)
    bench.turn.end()
    bench.lead(3, term=2)
    bench.commit(b"", kind=EMPTY)
    assert caller.codes == ["NOTLEADER"]


def test_what_is_forwarded_for_another_term_is_not_proposed(bench: Any) -> None:
    """Its sender takes it as lost when that term begins."""
    bench.lead(term=3)
    bench.group.on_forward(NodeId(3), FORWARD.pack(1, 2, 77, 5) + b"batch")
    assert bench.host.take(Propose) == []
    assert bench.links.take() == [(3, Kind.FORWARD_RESULT, FORWARD_RESULT.pack(1, 5, 0))]


def test_a_refused_batch_does_not_overtake_nor_is_it_overtaken(bench: Any, caller: Any) -> None:
    bench.lead(2)
    for key in (b"a", b"b"):
        bench.write(b"INCR", key, caller=caller)
        bench.turn.end()
    payloads = [payload for _, _, payload in bench.links.take()]
    tokens = [FORWARD.unpack_from(payload)[3] for payload in payloads]
    # The second is refused first: its answer waits for that to the first.
    bench.group.on_forward_result(NodeId(2), FORWARD_RESULT.pack(1, tokens[1], 1))
    assert caller.replies == []
    bench.group.on_forward_result(NodeId(2), FORWARD_RESULT.pack(1, tokens[0], 0))
    assert caller.codes == ["NOTLEADER", "DISKFULL"]
    assert (bench.group._waiting, bench.group._failed_count, bench.group._inflight_count) == ({}, 0, 0)


def test_a_refusal_at_once_does_not_overtake_the_callers_earlier_requests(make_bench: Any, caller: Any) -> None:
    """Once OVERLOADED was taken for the answer to the oldest request, and its OK for that to the refused one."""
    bench = make_bench(pending_count_max=2, inflight_batch_max=1)
    bench.lead()
    bench.write(b"SET", b"a", b"1", caller=caller)
    (call,) = bench.propose()
    bench.write(b"INCR", b"b", caller=caller)
    bench.write(b"SET", b"c", b"1", caller=caller)
    other = bench.write(b"SET", b"d", b"1")
    bench.turn.end()
    assert (caller.replies, other.codes) == ([], ["OVERLOADED"])
    bench.commit(call.payloads[0])
    assert caller.replies == [OK]
    bench.write(b"INCR", b"e", caller=caller)
    (call,) = bench.propose()
    bench.commit(call.payloads[0])
    assert caller.codes == ["", "", "OVERLOADED"]
    (call,) = bench.propose()
    bench.commit(call.payloads[0])
    assert (caller.codes, caller.replies[1]) == (["", "", "OVERLOADED", ""], 1)
    readers = [bench.read(b"DBSIZE", caller=caller) for _ in range(3)]
    (read,) = bench.reads()
    bench.group.on_output(ReadReady(read.token, 0))
    assert readers[0].codes[4:] == ["", "", "OVERLOADED"]
    assert bench.group._pending_count == 0


def test_a_state_that_cannot_be_read_stops_the_node_and_answers_who_waits(
    bench: Any, caller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Exception] = []
    bench.group.on_failed = failures.append
    bench.lead()
    bench.write(b"GET", b"k", caller=caller)
    (call,) = bench.propose()

    def broken(*_: Any) -> Any:
        raise Corrupt("page 7")

    monkeypatch.setattr(bench.state, "apply", broken)
    bench.commit(call.payloads[0])
    assert [str(failure) for failure in failures] == ["page 7"]
    assert caller.codes == ["STOPPED"]


# -- the end --------


def test_when_the_node_stops_everybody_is_answered_once_and_nobody_is_accepted(make_bench: Any) -> None:
    bench = make_bench(inflight_batch_max=1)
    bench.lead()
    proposed = bench.write(b"SET", b"a", b"1")
    (call,) = bench.propose()
    queued = bench.write(b"SET", b"b", b"1")
    asked = bench.read(b"GET", b"a")
    bench.turn.end()
    unasked = bench.read(b"GET", b"a")
    bench.group.stop()
    late = [bench.write(b"SET", b"c", b"1"), bench.read(b"GET", b"a")]
    bench.group.on_output(ReadReady(1, 0))
    bench.turn.end()
    bench.clock.advance(10_000)
    bench.turn.end()
    assert proposed.codes == ["STOPPED"]
    assert [one.codes for one in (queued, asked, unasked, *late)] == [["UNREACHABLE"]] * 5
    assert bench.host.is_stopped
    assert call.payloads
