"""The happened-before graph and its pictures."""

import xml.etree.ElementTree as ET

import pytest

from quorate.clocks import HappenedBefore, Order, VersionVector, to_svg, to_text
from quorate.kernel import errors


def diamond() -> tuple[HappenedBefore, list[int]]:
    graph = HappenedBefore(["a", "b", "c"])
    ask = graph.record("a", "ask")
    left = graph.record("b", "left", sent_by=ask)
    right = graph.record("c", "right", sent_by=ask)
    answer = graph.record("a", "both", sent_by=left)
    last = graph.record("a", "all", sent_by=right)
    return graph, [ask, left, right, answer, last]


def test_causes_come_along_messages_and_along_each_actor() -> None:
    graph, (ask, left, right, answer, last) = diamond()
    assert graph.compare(left, right) is Order.CONCURRENT
    assert graph.past(last) == [ask, left, right, answer]
    assert graph.future(ask) == [left, right, answer, last]
    assert graph.concurrent(right) == [left, answer]
    assert not graph.happened_before(ask, ask)


def test_a_cut_with_an_effect_but_not_its_cause_is_inconsistent() -> None:
    graph, _ = diamond()
    assert graph.is_consistent_cut(VersionVector({0: 1, 1: 1}))
    assert not graph.is_consistent_cut(VersionVector({1: 1}))
    assert graph.is_consistent_cut(VersionVector())


def test_strangers_are_refused() -> None:
    for make in (
        lambda: HappenedBefore([]),
        lambda: HappenedBefore(["a", "a"]),
        lambda: HappenedBefore(["a"]).record("b"),
        lambda: HappenedBefore(["a"]).record("a", sent_by=0),
        lambda: HappenedBefore(["a"]).event(0),
    ):
        with pytest.raises(errors.UsageError):
            make()


def test_the_text_diagram_names_messages_where_they_leave_and_arrive() -> None:
    graph, _ = diamond()
    assert to_text(graph).splitlines() == [
        "a                  b                  c",
        "● ask m1→          │                  │",
        "│                  ● →m1 left m2→     │",
        "│                                     ● →m1 right m3→",
        "● →m2 both",
        "● →m3 all",
    ]


def test_the_svg_is_well_formed_and_escapes_names() -> None:
    graph = HappenedBefore(["<a>", "b&c"])
    sent = graph.record("<a>", "x<y")
    graph.record("b&c", "z", sent_by=sent)
    root = ET.fromstring(to_svg(graph))
    kinds = [element.tag.split("}")[1] for element in root.iter()]
    assert kinds.count("circle") == 2
    assert sum(element.get("marker-end") is not None for element in root.iter()) == 1
    assert "x<y" in [element.text for element in root.iter()]
