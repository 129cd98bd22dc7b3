"""What a session sends along follows from what it has seen and written, one guarantee at a time."""

import pytest

from quorate.client.marks import Guarantees, Marks, SessionMarks
from quorate.kernel.errors import UsageError

NONE = {
    "read_your_writes": False,
    "monotonic_reads": False,
    "monotonic_writes": False,
    "writes_follow_reads": False,
}


def marks(*, keeps_siblings: bool = False, **guarantees: bool) -> SessionMarks:
    return SessionMarks(Guarantees(**{**NONE, **guarantees}), keeps_siblings=keeps_siblings)


def used(session: SessionMarks) -> SessionMarks:
    """After a read that showed `r` and a write that made `w`."""
    session.was_read(b"k", b"r", [], included=())
    session.was_written(b"k", b"w", 1, after=())
    return session


@pytest.mark.parametrize(
    ("guarantee", "for_read", "for_write"),
    [
        ("read_your_writes", (b"w",), ()),
        ("monotonic_reads", (b"r",), ()),
        ("monotonic_writes", (), (b"w",)),
        ("writes_follow_reads", (), (b"r",)),
        ("causal", (b"w", b"r"), (b"w", b"r")),
    ],
)
def test_each_guarantee_is_one_rule(guarantee: str, for_read: tuple[bytes, ...], for_write: tuple[bytes, ...]) -> None:
    session = used(marks(**{guarantee: True}))
    assert (session.for_read(b"k"), session.for_write(b"k")) == (for_read, for_write)
    assert (session.for_read(b"other"), session.for_write(b"other")) == ((), ())


def test_without_guarantees_nothing_goes_along() -> None:
    session = used(marks())
    assert (session.for_read(b"k"), session.for_write(b"k"), session.note(b"other")) == ((), (), b"")


def test_one_token_replaces_those_that_it_includes() -> None:
    found = Marks()
    found.add(b"k", b"1")
    found.add(b"k", b"2")
    assert found[b"k"] == (b"1", b"2")
    found.add(b"k", b"3", includes=(b"1",))
    assert found[b"k"] == (b"2", b"3")
    found.add(b"k", b"")
    assert found[b"k"] == (b"2", b"3"), "an absent key has no token"


def test_a_read_that_had_to_include_everything_stands_for_it() -> None:
    session = used(marks(read_your_writes=True, monotonic_reads=True))
    session.was_read(b"k", b"both", [], included=session.for_read(b"k"))
    assert session.for_read(b"k") == (b"both",)


def test_a_reader_learns_what_the_writer_knew() -> None:
    """The message of a causal session: whoever sees the answer finds the question."""
    writer, reader = marks(causal=True), marks(causal=True)
    writer.was_read(b"question", b"q", [], included=())
    reader.was_read(b"answer", b"a", [writer.note(b"answer")], included=())
    assert reader.for_read(b"question") == (b"q",)
    follower = marks(causal=True)
    follower.was_read(b"remark", b"m", [reader.note(b"remark")], included=())
    assert follower.for_read(b"question") == (b"q",), "what was known is known on"
    assert follower.for_read(b"answer") == (b"a",)
    follower.forget(b"question")
    assert follower.for_read(b"question") == ()


def test_a_note_of_somebody_elses_making_is_nobodys_knowledge() -> None:
    session = marks(causal=True)
    session.was_read(b"k", b"t", [b"garbage", b"\x93\x01\x02\x03", b""], included=())
    assert session.known == {}


def test_where_values_stay_side_by_side_a_write_replaces_only_what_was_shown() -> None:
    session = marks(keeps_siblings=True, monotonic_writes=True, read_your_writes=True)
    session.was_written(b"k", b"w", 2, after=())
    assert session.for_write(b"k") == (), "somebody else's value is in it"
    assert session.for_read(b"k") == (b"w",)
    session.was_written(b"k", b"x", 1, after=())
    assert session.for_write(b"k") == (b"x",)


def test_a_session_goes_on_in_another_process() -> None:
    session = used(marks(read_your_writes=True, writes_follow_reads=True))
    other = marks(read_your_writes=True, writes_follow_reads=True)
    other.resume(session.export())
    assert (other.for_read(b"k"), other.for_write(b"k")) == (session.for_read(b"k"), session.for_write(b"k"))
    with pytest.raises(UsageError, match="no exported session"):
        other.resume(b"garbage")
