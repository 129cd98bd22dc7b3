"""The benchmark's generator measures real servers, and says what went wrong."""

import asyncio
import io

import pytest
from rich.console import Console

from quorate.kernel import errors
from quorate.lab import BenchOptions, run_bench
from quorate.lab.bench.load import LoadOptions, LoadResult, generate

pytestmark = [pytest.mark.real, pytest.mark.slow]


def load(answer: bytes, **options: object) -> LoadResult:
    """Return what the generator makes of a server that gives one answer to everything."""

    async def run() -> LoadResult:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await reader.read(65_536):
                    writer.write(answer)
            except ConnectionError:
                pass  # the generator drops its connections when it is done
            finally:
                writer.close()
                ended.release()

        ended = asyncio.Semaphore(0)
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        wanted = {
            "protocol": "redis",
            "kind": "write",
            "client_count": 4,
            "warm_up_s": 0.05,
            "measure_s": 0.1,
            **options,
        }
        found = await generate(LoadOptions(host=host, port=port, **wanted))  # type: ignore[arg-type]
        server.close()
        for _ in range(4):
            await ended.acquire()
        await asyncio.sleep(0)
        return found

    return asyncio.run(run())


def test_answers_are_counted_and_timed() -> None:
    found = load(b"+OK\r\n")
    assert found.error_count == 0
    assert found.per_second > 100
    assert 0 < found.p50_ns <= found.p99_ns <= found.max_ns
    assert found.cpu > 0


def test_an_answer_in_pieces_is_one_answer() -> None:
    found = load(b"$4\r\nvvvv\r\n", kind="read", value_bytes=4)
    assert found.error_count == 0
    assert found.per_second > 100


def test_error_replies_are_no_throughput() -> None:
    found = load(b"-NOTLEADER node 2 leads\r\n")
    assert found.per_second == 0
    assert found.error_count > 0
    assert found.first_error == "-NOTLEADER node 2 leads"


def test_two_clusters_are_measured_pair_by_pair_without_errors() -> None:
    console = Console(file=io.StringIO(), width=120)
    options = BenchOptions(systems=("redis", "etcd"), client_counts=(4,), round_count=2, measure_s=0.2)
    result = run_bench(options, console=console)
    assert len(result.measurements) == 8
    assert all(m.load.error_count == 0 for m in result.measurements)
    assert all(m.load.per_second > 0 for m in result.measurements)
    assert len(result.ratios("etcd", "write", 4)) == 2
    assert isinstance(console.file, io.StringIO)
    assert "pair by pair" in console.file.getvalue()


def test_an_unknown_system_is_refused() -> None:
    with pytest.raises(errors.UsageError, match="zookeper"):
        run_bench(BenchOptions(systems=("zookeper",)), console=Console(file=io.StringIO()))
