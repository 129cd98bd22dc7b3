"""The load generator: a process of its own, `python -m quorate.lab.bench.load`, told what to do on standard input."""

import asyncio
import gc
import resource
import sys
import time
from collections.abc import Callable

import msgspec
import uvloop

from quorate.lab.bench.connections import GRPCRequester, RedisRequester, Requester, Sink
from quorate.lab.statistics import percentile

_KEY_COUNT = 2_000


class LoadOptions(msgspec.Struct, kw_only=True):
    """What one measurement is."""

    # "redis", "redis-wait" (SET, then WAIT 1) or "grpc" (etcd).
    protocol: str
    # "write", "read", or "fill": write every key once, however long it takes.
    kind: str
    host: str
    port: int
    client_count: int
    value_bytes: int = 256
    warm_up_s: float = 0.5
    measure_s: float = 2.0


class LoadResult(msgspec.Struct, kw_only=True):
    """What came of it."""

    per_second: float
    p50_ns: int
    p99_ns: int
    max_ns: int
    error_count: int
    first_error: str
    # The generator's processor time while it measured, in units of one processor.
    cpu: float


async def generate(options: LoadOptions) -> LoadResult:
    """Open all connections, keep one request in flight on each, measure.

    A line on standard output says when measuring begins, so that the servers'
    processor time is taken over the same span.
    """
    sink = Sink()
    loop = asyncio.get_running_loop()
    keys = Keys()
    requesters: list[Requester] = []
    for _ in range(options.client_count):
        requester = _requester(options, sink, keys)
        await loop.create_connection(lambda made=requester: made, options.host, options.port)  # type: ignore[misc]
        requesters.append(requester)
    for requester in requesters:
        requester.begin()
    if options.kind == "fill":
        # Every client's last key is answered before its next is made.
        while keys.made_count < _KEY_COUNT + options.client_count and not sink.error_count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(options.warm_up_s)
    gc.disable()  # a pause of ours must not look like one of theirs
    sink.is_measuring = True
    sys.stdout.write("measuring\n")
    sys.stdout.flush()
    begin, begin_cpu = time.perf_counter(), _cpu_s()
    await asyncio.sleep(options.measure_s)
    sink.is_measuring = False
    passed, cpu = time.perf_counter() - begin, _cpu_s() - begin_cpu
    sink.is_over = True
    for requester in requesters:
        requester.close()
    await asyncio.sleep(0)  # lets the transports close
    found = sorted(sink.latencies_ns)
    return LoadResult(
        per_second=len(found) / passed,
        p50_ns=percentile(found, 0.5),
        p99_ns=percentile(found, 0.99),
        max_ns=found[-1] if found else 0,
        error_count=sink.error_count,
        first_error=sink.first_error,
        cpu=cpu / passed,
    )


def _requester(options: LoadOptions, sink: Sink, key: "Keys") -> Requester:
    value = b"v" * options.value_bytes
    bulk = len(b"$%d\r\n" % options.value_bytes) + options.value_bytes + 2
    match options.protocol, options.kind:
        case "redis" | "redis-wait", "read":
            return RedisRequester(sink, lambda: _command(b"GET", key()), answer_bytes=bulk)
        case "redis", "write" | "fill":
            return RedisRequester(sink, lambda: _command(b"SET", key(), value), answer_bytes=len(b"+OK\r\n"))
        case "redis-wait", "write" | "fill":
            wait = _command(b"WAIT", b"1", b"0")
            size = len(b"+OK\r\n:1\r\n")
            return RedisRequester(sink, lambda: _command(b"SET", key(), value) + wait, answer_bytes=size)
        case "grpc", "write" | "fill":
            return _grpc(options, sink, lambda: _field(1, key()) + _field(2, value), "Put")
        case "grpc", "read":
            return _grpc(options, sink, lambda: _field(1, key()), "Range")
        case _:
            raise AssertionError(f"no generator speaks {options.protocol} {options.kind}")


def _grpc(options: LoadOptions, sink: Sink, request: Callable[[], bytes], method: str) -> Requester:
    authority = f"{options.host}:{options.port}"
    return GRPCRequester(sink, request, path=f"/etcdserverpb.KV/{method}", authority=authority)


class Keys:
    """Makes keys, each once in every `_KEY_COUNT`, spread so that no cache likes the order; all of one length."""

    def __init__(self) -> None:
        self.made_count = 0

    def __call__(self) -> bytes:
        """Return the next key."""
        self.made_count += 1
        return b"key-%06d" % (self.made_count * 7_919 % _KEY_COUNT)


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _field(number: int, data: bytes) -> bytes:
    """A protobuf field of bytes."""
    length, size = len(data), bytearray()
    while length >= 0x80:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes([number << 3 | 2]) + bytes(size) + data


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Read options from standard input, write the result to standard output."""
    options = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadOptions)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.buffer.write(msgspec.json.encode(runner.run(generate(options))))


if __name__ == "__main__":
    main()
