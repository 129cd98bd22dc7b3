"""Replicated text and lists against a plain string, and against the laws."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.crdt import ReplicatedList, Text
from quorate.crdt.laws import Laws
from quorate.kernel import Seeds

CHECK = settings(max_examples=60, deadline=None, derandomize=True)
EDIT = st.tuples(st.integers(0, 30), st.integers(0, 4), st.sampled_from(["", "a", "b", "xyz", "é"]))


def edit(text: Text, argument: tuple[int, int, str]) -> object:
    where, count, words = argument
    where %= len(text) + 1
    if words:
        return text.insert(where, words)
    return text.delete(where, min(count, len(text) - where))


def edit_list(found: ReplicatedList, argument: tuple[int, int, str]) -> object:
    where, count, words = argument
    where %= len(found) + 1
    if words:
        return found.insert(where, [{"w": word} for word in words])
    return found.delete(where, min(count, len(found) - where))


LAWS = {
    "text": Laws(lambda a: Text(actor=a), edit, EDIT, example_count=60),
    "list": Laws(lambda a: ReplicatedList(actor=a), edit_list, EDIT, example_count=30),
}


@pytest.mark.slow
@pytest.mark.parametrize("law", ["check_join", "check_inflation", "check_deltas", "check_delivery", "check_bytes"])
@pytest.mark.parametrize("name", LAWS)
def test_sequences_keep_the_laws(name: str, law: str) -> None:
    assert getattr(LAWS[name], law)() is None


@CHECK
@given(st.lists(EDIT, max_size=60))
def test_alone_it_is_a_string(edits: list) -> None:
    text, twin = Text(actor=1), ""
    for where, count, words in edits:
        where %= len(twin) + 1
        edit(text, (where, count, words))
        count = 0 if words else count
        twin = twin[:where] + words + twin[where + count :]
    assert text.value == twin == str(text) and len(text) == len(twin)
    again = Text.from_bytes(text.to_bytes(), actor=2)
    again.insert(len(twin) // 2, "!")
    assert again.value == twin[: len(twin) // 2] + "!" + twin[len(twin) // 2 :]
    assert pickle.loads(pickle.dumps(text)) == text


def random_edits(text: Text, rng: object, count: int) -> list:
    """Type, jump, delete, as people do."""
    deltas, cursor = [], 0
    for _ in range(count):
        chance = rng.random()
        cursor = rng.randrange(len(text) + 1) if chance < 0.1 else min(cursor, len(text))
        if chance < 0.7 or not cursor:
            deltas.append(text.insert(cursor, rng.choice("abcdefgh ")))
            cursor += 1
        elif chance < 0.9:
            cursor -= 1
            deltas.append(text.delete(cursor))
        else:
            count = min(3, len(text) - cursor)
            deltas.append(text.delete(cursor, count))
    return deltas


@pytest.mark.slow
def test_long_histories_of_three_authors_converge_through_many_chunks() -> None:
    """Enough parts that chunks split, and deltas in every order."""
    rng = Seeds(3).stream("authors")
    texts = [Text(actor=actor) for actor in range(3)]
    for _ in range(12):
        deltas = [random_edits(text, rng, 80) for text in texts]
        for text in texts:
            order = [delta for made in deltas for delta in made]
            rng.shuffle(order)
            for delta in order:
                text.apply(Text.unpack_delta(Text.pack_delta(delta)))
            assert text.waiting_count == 0
        assert texts[0] == texts[1] == texts[2]
        assert texts[0].value == texts[1].value == Text.from_bytes(texts[2].to_bytes()).value
    assert texts[0].part_count > 200
    fresh = Text()
    fresh.merge(texts[1])
    assert fresh == texts[1] and fresh.value == texts[1].value


@CHECK
@given(st.integers(0, 4), st.text("ab", min_size=1, max_size=6), st.text("yz", min_size=1, max_size=6), st.booleans())
def test_concurrent_runs_do_not_interleave(where: int, left: str, right: str, backwards: bool) -> None:
    """Two authors type letter by letter at one place, forwards or each letter before the last."""
    base = Text(actor=1)
    base.insert(0, "----")
    other = base.copy(actor=2)
    for text, word in ((base, left), (other, right)):
        for count, letter in enumerate(word):
            text.insert(where if backwards else where + count, letter)
    base.merge(other)
    a, b = (left[::-1], right[::-1]) if backwards else (left, right)
    assert a in base.value and b in base.value
