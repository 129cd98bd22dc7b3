"""Figures are what their docstrings say."""

import pytest

from quorate.kernel import MILLISECOND, SECOND, Seeds
from quorate.lab.nemesis import FaultSpan
from quorate.lab.recorder import Call
from quorate.lab.statistics import availability, latencies, outages, percentile, throughput
from quorate.lab.strip import bar, bars, ruler, spans_line
from quorate.lab.workload import Bucket, Workload


def call(start_ms: int, end_ms: int, outcome: str = "ok", f: str = "write", error: str | None = None) -> Call:
    return Call(
        index=0, process=1, worker=1, f=f, key="k", value=1, invoke_ns=start_ms * MILLISECOND, outcome=outcome,
        complete_ns=end_ms * MILLISECOND, error=error,
    )  # fmt: skip


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.5, 50), (0.99, 99), (1, 100)])
def test_a_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected


def test_a_percentile_of_nothing_is_zero() -> None:
    assert percentile([], 0.5) == 0


def test_latencies_count_answered_calls_only() -> None:
    found = latencies([call(0, 10), call(0, 30, f="read"), call(0, 999, "info")])
    assert (found.count, found.max_ns) == (2, 30 * MILLISECOND)
    assert latencies([call(0, 10), call(0, 30, f="read")], updates=True).count == 1


def test_availability_counts_where_calls_complete_and_takes_a_conflict_for_service() -> None:
    calls = [call(0, 100), call(0, 200, "fail", error="CONFLICT given up"), call(0, 1500, "info"), call(0, 1600)]
    assert availability(calls, end_ns=3 * SECOND) == [1.0, 0.5, None]
    assert throughput(calls, end_ns=3 * SECOND) == [1, 1, 0]


def test_an_outage_is_the_longest_gap_between_acknowledged_updates_from_fault_to_fault() -> None:
    spans = [FaultSpan("a", "", 1 * SECOND, 2 * SECOND), FaultSpan("b", "", 4 * SECOND, 5 * SECOND)]
    times = [900, 1100, 1900, 3000, 3900, 4100]
    found = outages([call(at - 1, at) for at in times], spans, end_ns=6 * SECOND)
    assert [outage.gap_ns // MILLISECOND for outage in found] == [1100, 1900]
    assert [outage.recovered for outage in found] == [True, False]


def test_a_gap_that_the_next_fault_makes_is_not_blamed_on_the_one_before() -> None:
    spans = [FaultSpan("a", "", 1 * SECOND, 2 * SECOND), FaultSpan("b", "", 3 * SECOND, 4 * SECOND)]
    times = [1100, *range(1200, 3000, 100), 8000]
    found = outages([call(at - 1, at) for at in times], spans, end_ns=9 * SECOND)
    assert [outage.gap_ns // MILLISECOND for outage in found] == [100, 5000]


def test_a_gap_that_outlasts_its_fault_goes_on_into_the_next() -> None:
    spans = [FaultSpan("a", "", 1 * SECOND, 2 * SECOND), FaultSpan("b", "", 3 * SECOND, 4 * SECOND)]
    found = outages([call(at - 1, at) for at in (1500, 3500, 8800)], spans, end_ns=9 * SECOND)
    assert [outage.gap_ns // MILLISECOND for outage in found] == [2000, 5300]
    assert all(outage.recovered for outage in found)


def test_reads_do_not_end_an_outage() -> None:
    found = outages([call(1500, 1501, f="read")], [FaultSpan("a", "", SECOND, 2 * SECOND)], end_ns=3 * SECOND)
    assert found[0].gap_ns == 2 * SECOND


def test_bars_keep_the_ends_for_the_exact_ends() -> None:
    assert bars([0, 0.001, 0.5, 0.999, 1, None]) == " ▁▄▇█·"
    assert len({bar(share / 7 + 0.01) for share in range(7)}) == 7


def test_a_line_of_spans_marks_every_second_touched() -> None:
    assert spans_line([(1_500, 3_200, "a"), (5_000, 5_001, "b")], step_ns=1_000, width=7) == " aaa b "
    assert ruler(12) == "0    5    10"


def test_a_bucket_lets_through_its_rate_and_forgives_no_more_than_its_burst() -> None:
    bucket = Bucket(rate=10, burst=1)
    now, sent = 0, []
    for _ in range(30):
        now += bucket.take(now)
        sent.append(now)
    assert sent[-1] == pytest.approx(2.9 * SECOND, rel=0.02)
    stalled = sent[-1] + 60 * SECOND
    waits = []
    for _ in range(4):
        waits.append(bucket.take(stalled))
        stalled += waits[-1]
    assert sum(wait > 0 for wait in waits) >= 2


def test_a_workload_is_a_function_of_its_seed_and_writes_every_value_once() -> None:
    first, second = (Workload(Seeds(4).stream("workload"), key_count=8, operation_count_max=20) for _ in range(2))
    drawn = [first.next() for _ in range(2_000)]
    assert drawn == [second.next() for _ in range(2_000)]
    written = [i.value for i in drawn if i.f == "write"]
    assert len(set(written)) == len(written)
    assert len(first.keys) > 50
    assert max(sum(i.key == key for i in drawn) for key in first.keys) <= 20


def test_a_workload_swaps_only_values_that_were_seen() -> None:
    workload = Workload(Seeds(4).stream("workload"), key_count=4)
    assert all(workload.next().f != "cas" for _ in range(100))
    for key in workload.keys:
        workload.learn(key, 1)
    assert {i.f for i in (workload.next() for _ in range(300))} == {"read", "write", "cas", "increment"}
