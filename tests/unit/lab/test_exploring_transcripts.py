"""A counterexample as a file that can be read back, and as a run of the simulated world."""

import io

import pytest
from rich.console import Console

from quorate.check.explore import Search, explore
from quorate.kernel.errors import UsageError
from quorate.lab.exploring import (
    EXPLORABLE,
    ExploreOptions,
    filled,
    make_explorable,
    render_transcript,
    replay_transcript,
    run_exploration,
    simulate_example,
    write_transcript,
)


def made(name, **options):
    options = filled(ExploreOptions(name=name, **options))
    return options, make_explorable(options)


@pytest.fixture(scope="module")
def forgotten():
    options, explorable = made("raft-forgets-votes")
    found = explore(explorable.system, explorable.properties)
    return options, explorable, found.counterexamples["one leader per term"]


MACHINES = [name for name, entry in EXPLORABLE.items() if entry.machines]
HARSH = {"lose_count": 1, "repeat_count": 1, "crash_count": 1, "is_disk_slow": True, "is_unordered": True}


def deep_run(explorable, state_count=400):
    """The run to the last state that a bounded search met: as deep as that goes."""
    search = Search(explorable.system, ())
    search.run(state_count_max=state_count)
    return search._example(next(reversed(search._visited)))


@pytest.mark.parametrize("name", MACHINES)
def test_a_run_of_any_machine_is_read_back_as_it_was_written(name):
    options, explorable = made(name, **HARSH)
    text = write_transcript(options, deep_run(explorable), comment="a run")
    assert render_transcript(text) == text
    assert "not possible" not in text


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("faults", [{}, HARSH], ids=["calm", "harsh"])
def test_the_simulated_world_comes_to_the_explorer_s_states(name, faults):
    """Two interpreters of effects, durability barrier, crash and clock, and one state: for many runs of each machine."""
    _, explorable = made(name, **faults)
    search = Search(explorable.system, ())
    search.run(state_count_max=150)
    for key in list(search._visited)[::15]:
        result = simulate_example(explorable.system, search._example(key))
        assert result.is_same, search._example(key)


@pytest.mark.slow
def test_a_counterexample_is_one_in_the_simulated_world_too(forgotten):
    _, explorable, example = forgotten
    claim = explorable.properties[0]
    result = simulate_example(explorable.system, example)
    assert result.is_same
    assert not claim.holds(result.state)
    assert "RequestVote" in result.diagram
    assert simulate_example(explorable.system, example).trace_hash == result.trace_hash


@pytest.mark.slow
def test_the_command_writes_what_the_command_replays(tmp_path):
    """The file names the claim that broke, where it broke; a file that says something else is told line by line."""
    file, output = tmp_path / "two-leaders.txt", io.StringIO()
    console = Console(file=output, width=200)
    options = ExploreOptions(name="raft-forgets-votes", transcript=file, is_simulated=True)
    assert run_exploration(options, console) == 1
    assert file.read_text("utf-8").endswith("BROKEN: one leader per term\n")
    assert "the same state on every node and link; broken there too: one leader per term" in output.getvalue()
    assert replay_transcript(file, console, is_simulated=True) == 0
    file.write_text(file.read_text("utf-8").replace("granted=True", "granted=False"), "utf-8")
    assert replay_transcript(file, console) == 1
    assert "+   send 1 VoteResult(term=1, granted=True, pre=False)" in output.getvalue()


@pytest.mark.slow
def test_a_mended_machine_leaves_the_run_where_it_parts(forgotten):
    """The same schedule for Raft as it is: the voter remembers, and the vote that elected the second leader is refused."""
    options, _, example = forgotten
    text = write_transcript(options, example, comment="mended").replace("raft-forgets-votes", "raft")
    now = render_transcript(text)
    assert "BROKEN" not in now
    assert "send 3 VoteResult(term=1, granted=False, pre=False)" in now


def test_a_run_that_goes_round_says_so():
    options, explorable = made("flp")
    example = explore(explorable.system, explorable.properties).counterexamples["a decision"]
    text = write_transcript(options, example, comment="nobody decides")
    assert "from here for ever" in text
    assert text.endswith("again\n----\nthe same state\n")


def test_a_choice_that_is_not_possible_ends_a_transcript():
    text = render_transcript("explore raft\n----\n\nrestart 1\n----\n\nfire 1 election\n----\n")
    assert text.count("not possible here") == 1
    assert text.endswith("not reached\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("fire 1 election", "begins with"),
        ("explore chess", "no system is named"),
        ("explore raft nodes=many", "no whole number"),
        ("explore raft colour=red", "no word"),
        ("explore raft nodes=2 start=9", "initial states"),
    ],
)
def test_what_is_no_transcript_is_refused_with_the_reason(text, words):
    with pytest.raises(UsageError, match=words):
        render_transcript(text)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"none\.txt"):
        replay_transcript(tmp_path / "none.txt", Console(file=io.StringIO()))
