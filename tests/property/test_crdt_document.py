"""The JSON document keeps the laws, and does alone what plain data does."""

import pytest
from hypothesis import strategies as st

from quorate.crdt import BadPosition, Document, NotPresent
from quorate.crdt.laws import Laws

VALUE = st.sampled_from([1, "x", None, {}, [], {"a": [1]}, ["p", {"b": 2}]])
PATH = st.sampled_from([("a",), ("b",), ("a", "a"), ("a", 0), ("b", 0), ("b", 1), ("b", 0, "b"), ("a", "a", 1)])
STEP = st.tuples(st.sampled_from(["set", "set", "insert", "delete"]), PATH, VALUE)


def change(document: Document, step: tuple) -> object:
    what, path, value = step
    try:
        return document.delete(path) if what == "delete" else getattr(document, what)(path, value)
    except (NotPresent, BadPosition):
        return None


LAWS = Laws(lambda a: Document(actor=a), change, STEP, example_count=40)


@pytest.mark.slow
@pytest.mark.parametrize("law", ["check_join", "check_inflation", "check_deltas", "check_delivery", "check_bytes"])
def test_documents_keep_the_laws(law: str) -> None:
    assert getattr(LAWS, law)() is None


def test_alone_it_is_plain_data() -> None:
    document = Document(actor=1)
    document.set(("user",), {"name": "Ada", "tags": ["x", "y"]})
    document.insert(("user", "tags", 1), {"deep": [1]})
    document.set(("user", "tags", 0), "z")
    document.delete(("user", "tags", 2))
    document.set(("user", "tags", 1, "deep", 0), 7)
    assert document.value == {"user": {"name": "Ada", "tags": ["z", {"deep": [7]}]}}
    assert document.get(("user", "tags", 1)) == {"deep": [7]}
    for refused in (("none",), ("user", 0), ("user", "tags", 9), ("user", "name", "x")):
        with pytest.raises(NotPresent):
            document.delete(refused)


def test_concurrent_writes_are_kept_and_one_is_shown_alike() -> None:
    here = Document(actor=1)
    here.set(("k",), "old")
    there = here.copy(actor=2)
    here.set(("k",), "mine")
    there.set(("k",), "yours")
    here.merge(there)
    there.merge(here)
    assert here == there and sorted(here.conflicts(("k",))) == ["mine", "yours"]
    assert here.value["k"] == here.conflicts(("k",))[0]
    here.set(("k",), "settled")
    assert here.conflicts(("k",)) == ["settled"]


def test_an_assignment_survives_a_concurrent_deletion_of_its_place() -> None:
    here = Document(actor=1)
    here.set(("list",), ["a", "b"])
    there = here.copy(actor=2)
    here.delete(("list", 0))
    there.set(("list", 0), "A")
    here.merge(there)
    assert here.value == {"list": ["A", "b"]}
