"""The file of results: what is in it is used again, whatever happened to the campaign that wrote it."""

from pathlib import Path

import msgspec
import pytest

from quorate.kernel.errors import UsageError
from quorate.lab.scale import Job, Raised, Returned, make_job, open_results
from quorate.lab.scale.results import Results


def job(seed: int) -> Job:
    return make_job("quorate.nowhere:f", {"b": 1, "a": 2}, first_seed=seed)


def filled(path: Path, count: int = 3) -> bytes:
    with open_results(path, seeds_per_job=7) as results:
        assert results is not None
        for seed in range(1, count + 1):
            results.put(job(seed), Returned(msgspec.Raw(b'{"seed":%d}' % seed)))
    return path.read_bytes()


def opened(path: Path) -> tuple[list[bytes | None], list[str], int]:
    with open_results(path) as results:
        assert results is not None
        known = [results.get(job(seed).address) for seed in range(1, 5)]
        return [bytes(one) if one is not None else None for one in known], results.repairs, results.head.seeds_per_job


def test_what_was_kept_is_found_under_its_address(tmp_path: Path) -> None:
    """And what was not, is not."""
    path = tmp_path / "campaign.jsonl"
    filled(path)

    assert opened(path) == ([b'{"seed":1}', b'{"seed":2}', b'{"seed":3}', None], [], 7)


def test_a_file_that_was_cut_anywhere_loses_the_torn_line_and_goes_on(tmp_path: Path) -> None:
    """A kill may come in any byte: every prefix opens, keeps its whole lines, and takes new ones."""
    path = tmp_path / "campaign.jsonl"
    data = filled(path)
    ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        known, repairs, _ = opened(path)
        assert sum(one is not None for one in known) == max(0, whole - 1)
        assert len(repairs) == (0 if cut in {0, *ends} else 1)

        with open_results(path) as results:
            assert isinstance(results, Results)
            results.put(job(4), Returned(msgspec.Raw(b"4")))
        assert opened(path)[0][3] == b"4"
        assert opened(path)[1] == []


def test_a_damaged_line_in_the_middle_is_left_out_and_named(tmp_path: Path) -> None:
    """The job is run again; the rest is used."""
    path = tmp_path / "campaign.jsonl"
    lines = filled(path).splitlines(keepends=True)
    lines[2] = b"\xff\x00" + lines[2][2:]
    path.write_bytes(b"".join(lines))

    known, repairs, _ = opened(path)

    assert known == [b'{"seed":1}', None, b'{"seed":3}', None]
    assert repairs == [f"line 3 of {path} is damaged: left out, its job is run again"]


def test_only_results_are_used_again(tmp_path: Path) -> None:
    """A job that raised or killed gets another chance in the next campaign."""
    path = tmp_path / "campaign.jsonl"
    with open_results(path) as results:
        assert results is not None
        results.put(job(1), Raised("no memory"))
        results.put_killed(job(2), "signal 9")

    assert opened(path)[0] == [None] * 4
    assert b"no memory" in path.read_bytes()
    assert b"signal 9" in path.read_bytes()


@pytest.mark.parametrize(
    "data",
    [b"{}\n", b"[1]\n", b"\x00" * 50, b"seed,ok\n1,2\n", b'{"quorate":"results","version":2}\n',
     b'{"quorate":"results","version":1,"seeds_per_job":0}\n'],
)  # fmt: skip
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, data: bytes) -> None:
    """Whoever mistypes a name loses nothing."""
    path = tmp_path / "results.jsonl"
    path.write_bytes(data)

    with pytest.raises(UsageError, match=r"results\.jsonl"):
        opened(path)

    assert path.read_bytes() == data


def test_two_campaigns_do_not_write_to_one_file(tmp_path: Path) -> None:
    """The second is told, and the first goes on."""
    path = tmp_path / "campaign.jsonl"
    with open_results(path), pytest.raises(UsageError, match="another campaign"):
        opened(path)


def test_an_address_is_of_code_configuration_and_seeds() -> None:
    """The order in which a configuration was written is none of it."""
    same = make_job("quorate.nowhere:f", {"a": 2, "b": 1}, first_seed=1)
    others = [
        job(2),
        make_job("quorate.nowhere:f", {"a": 2, "b": 2}),
        make_job("quorate.nowhere:g", {"a": 2, "b": 1}),
        make_job("quorate.nowhere:f", {"a": 2, "b": 1}, seed_count=2),
        msgspec.structs.replace(job(1), code="other"),
    ]

    assert same.address == job(1).address
    assert len({one.address for one in (job(1), *others)}) == 6
