"""Tests under `simulate`: the first failing seed is named, made smaller, drawn, and replayed from one word."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from quorate.kernel import milliseconds, seconds
from quorate.kernel.errors import UsageError
from quorate.sim import LinkPolicy, Mix, Recipe, Setup, World, campaign, run_trial, settings, shrink_trial, simulate
from quorate.sim.auditing import compare, explain
from quorate.sim.simulated_trial import Outcome

LATE = LinkPolicy(latency=milliseconds(1), jitter=milliseconds(1))


@pytest.fixture(autouse=True)
def own_settings() -> Any:
    """The command line of the outer pytest does not reach the campaigns here."""
    before = {name: getattr(settings, name) for name in settings.__struct_fields__}
    settings.recipe, settings.seed_count, settings.auditor, settings.is_shrinking = None, None, None, True
    yield
    for name, value in before.items():
        setattr(settings, name, value)


async def answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(serve, "0.0.0.0", 7):
        await asyncio.Event().wait()


async def ask(name: str) -> bytes:
    reader, writer = await asyncio.open_connection(name, 7)
    writer.write(b"quorate?")
    data = await reader.read(100)
    writer.close()
    return data


async def race(world: World) -> None:
    """Fails when b's answer overtakes a's."""
    world.host("server").launch(answer)
    await asyncio.sleep(0.1)
    order: list[str] = []
    for name in ("a", "b"):
        world.host(name).launch(ask, "server").add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
    await asyncio.sleep(1)
    assert order == ["a", "b"]


def failing(setup: Setup, program: Any = race) -> tuple[int, Outcome]:
    for seed in range(50):
        outcome = run_trial(program, setup, Recipe(seed=seed))
        if outcome.error is not None:
            return seed, outcome
    raise AssertionError("no seed fails")


def test_a_race_is_found_and_only_the_dice_that_matter_are_kept() -> None:
    """Out of all draws of network and disk a few stay wild; the rest are calm."""
    setup = Setup(link=LATE)
    seed, _ = failing(setup)

    shrunk = shrink_trial(race, setup, Recipe(seed=seed))

    assert shrunk is not None
    assert shrunk.draw_count < shrunk.draw_count_before / 2
    again = run_trial(race, setup, Recipe.from_token(shrunk.recipe.to_token()))
    assert isinstance(again.error, AssertionError)
    assert again.trace_hash == shrunk.outcome.trace_hash


async def survive(world: World) -> None:
    """Fails when the server dies."""
    world.host("server").launch(answer)
    await asyncio.sleep(8)
    assert world.host("server").boot_count == 1


@pytest.mark.slow
def test_of_many_faults_the_one_to_blame_is_left() -> None:
    """And the report names it."""
    setup = Setup(faults=Mix(), hosts=("server", "other"))
    seed, outcome = failing(setup, survive)

    shrunk = shrink_trial(survive, setup, Recipe(seed=seed))

    assert shrunk is not None
    assert len(outcome.faults) > len(shrunk.outcome.faults)
    kinds = [type(item.fault).__name__ for item in shrunk.outcome.faults]
    assert len(kinds) == 2
    assert kinds[1] == "Restart"


def test_the_failure_says_how_to_replay_it() -> None:
    """Seed, commands, diagram: in the notes of the very error that the test raised."""
    reports: list[str] = []
    settings.on_report = reports.append

    @simulate(seeds=50, link=LATE)
    async def test(world: World) -> None:
        await race(world)

    with pytest.raises(AssertionError) as caught:
        test()

    notes = "\n".join(caught.value.__notes__)
    assert "fails (" in notes
    assert "--seed" in notes
    assert "shrunk in" in notes
    assert "quorate?" in reports[0]
    assert "▶" in reports[0]


def test_a_replay_runs_that_seed_alone() -> None:
    """`--seed` means one run."""
    seen: list[int] = []
    settings.recipe = Recipe(seed=7)

    async def program(world: World) -> None:
        seen.append(world.choices.seed)

    campaign(program, Setup(), range(100))

    assert seen == [7]


def test_arguments_and_fixtures_come_along(tmp_path: Path) -> None:
    """All but `world` are pytest's to give; without `world`, or not async, it is refused when it is defined."""

    @simulate(seeds=2)
    async def test(world: World, tmp_path: Path) -> None:
        with (tmp_path / "seen").open("a") as file:
            file.write(str(world.choices.seed))

    test(tmp_path=tmp_path)

    assert (tmp_path / "seen").read_text() == "01"
    with pytest.raises(TypeError, match="takes `world`"):
        simulate(lambda world: None)


def test_the_same_seed_is_the_same_run() -> None:
    """Traces are equal, also with faults, and differ between seeds."""
    setup = Setup(faults=Mix(), link=LATE)
    one, again, other = (run_trial(race, setup, Recipe(seed=seed)) for seed in (3, 3, 4))

    assert one.trace_hash == again.trace_hash
    assert one.trace_hash != other.trace_hash


@pytest.mark.parametrize("token", ["", "x", "7:", "7:zzz", "7:eJwrSS0uAQAEXQHB", ":abc"])
def test_a_broken_token_is_a_usage_error(token: str) -> None:
    """Never a traceback of base64, zlib or msgpack; `7:` alone is the seed."""
    if token == "7:":
        assert Recipe.from_token(token) == Recipe(seed=7)
        return
    with pytest.raises(UsageError, match="is no seed"):
        Recipe.from_token(token)


def test_deadlocks_and_late_ends_fail_a_test() -> None:
    """As everywhere in the world, with their names."""

    async def wait(world: World) -> None:
        await asyncio.Event().wait()

    async def linger(world: World) -> None:
        await asyncio.sleep(100)

    assert type(run_trial(wait, Setup(), Recipe(seed=0)).error).__name__ == "Deadlock"
    assert type(run_trial(linger, Setup(timeout=seconds(5)), Recipe(seed=0)).error).__name__ == "Overdue"


def test_a_comparison_names_the_step_and_the_reason(tmp_path: Path) -> None:
    """The first line that differs, what both did before, and what the source there does with sets."""
    source = tmp_path / "program.py"
    source.write_text("async def visit(names):\n    for name in set(names):\n        await wait(name)\n")
    before = f"1000000000\t1\ttask visit\t{source}:3\n"
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text(before + "1003000000\t1\twake\t\n")
    other.write_text(before + "1009000000\t1\twake\t\n")

    found = compare(one, other, is_same_hash_seed=False)

    assert found is not None
    text = explain(found, seed=5)
    assert "part at step 2" in text
    assert "program.py:2 makes a set" in text
    assert "only the hash seed differed" in text
    assert compare(one, one, is_same_hash_seed=True) is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("async def visit(nodes):\n    await go(sorted(nodes, key=id))\n", "sorts by address or hash: key=id"),
        ("async def visit(nodes):\n    await go(hash(nodes[0]))\n", "uses an address or a hash: hash(nodes[0])"),
        ("async def visit(nodes):\n    await go({*nodes})\n", "makes a set, whose order is that of hashes: {*nodes}"),
        ("async def visit(nodes):\n    await go(os.environ['HOME'])\n", "reads the environment: os.environ"),
        (
            "BEGUN = time.time()\nasync def visit(nodes):\n    await go(BEGUN)\n",
            "was computed at import: BEGUN = time.time()",
        ),
        (
            "DICE = random.Random()\nasync def visit(nodes):\n    await go(DICE)\n",
            "was computed at import: DICE = random.Random()",
        ),
    ],
)
def test_each_likely_reason_is_named_with_its_line(tmp_path: Path, source: str, reason: str) -> None:
    """Address, hash, set, environment, clock and dice of the import: what the source near the parting does."""
    program = tmp_path / "program.py"
    program.write_text(source, "utf-8")
    line = source.count("\n")
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text(f"1000000000\t1\ttask visit\t{program}:{line}\n", "utf-8")
    other.write_text(f"1000000007\t1\ttask visit\t{program}:{line}\n", "utf-8")
    found = compare(one, other, is_same_hash_seed=True)
    assert found is not None
    assert reason in explain(found, seed=1)


def test_the_fixture_gives_a_patched_world(world: World) -> None:
    """A plain test may drive a world by itself."""

    async def lab() -> float:
        import time

        await asyncio.sleep(5)
        return time.time() - float(int(time.time() // 86_400) * 86_400)

    assert world.run(lab()) == 5.0
