"""Workers: each makes one operation at a time, as fast as the bucket allows, and records it."""

import asyncio
from collections.abc import Callable

from quorate.kernel import SECOND, errors
from quorate.lab.recorder import Call, Recorder
from quorate.lab.systems import Client
from quorate.lab.workload import Bucket, Intent, Workload

# A client that cannot reach its node waits so long before it tries again, seconds.
_UNREACHABLE_WAIT_S = 0.05


class Worker:
    """One client actor: a connection, and the logical process that it currently is.

    Args:
        number: which of the workers, from 0; its first process number.
        worker_count: what is added to the process number after an operation of unknown outcome.
        client: the connection.
        recorder: where operations go.
        timeout_s: when to give up on a call even if its client does not.
    """

    def __init__(self, *, number: int, worker_count: int, client: Client, recorder: Recorder, timeout_s: float) -> None:
        self.number = number
        self.process = number
        self._worker_count = worker_count
        self._client = client
        self._recorder = recorder
        self._timeout_s = timeout_s

    async def run(self, workload: Workload, bucket: Bucket, stop_at_ns: int) -> None:
        """Work until the time comes."""
        while True:
            wait_ns = bucket.take(self._recorder.now_ns())
            if self._recorder.now_ns() + wait_ns >= stop_at_ns:
                return
            if wait_ns:
                await asyncio.sleep(wait_ns / SECOND)
            intent = workload.next()
            call = await self.perform(intent)
            if call.outcome == "ok":
                _learn(workload, call)
            elif call.error is not None and call.error.startswith("UNREACHABLE"):
                await asyncio.sleep(_UNREACHABLE_WAIT_S)

    async def perform(self, intent: Intent) -> Call:
        """Make one operation and record what became of it."""
        call = self._recorder.invoke(
            process=self.process, worker=self.number, f=intent.f, key=intent.key, value=intent.value
        )
        try:
            # A step of a transaction may each take the client's whole time-out.
            async with asyncio.timeout(self._timeout_s):
                self._recorder.ok(call, await _send(self._client, intent))
        except (errors.QuorateError, OSError, ValueError) as error:
            if self._recorder.failed(call, _timed_out(error)):
                self.process += self._worker_count
            if isinstance(error, TimeoutError):
                await self._client.close()
        return call

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


def _timed_out(error: Exception) -> Exception:
    return errors.TimedOut("no answer within the client's time") if isinstance(error, TimeoutError) else error


async def _send(client: Client, intent: Intent) -> int | bool | None:
    match intent.f, intent.value:
        case "read", None:
            return await client.read(intent.key)
        case "write", int(value):
            await client.write(intent.key, value)
            return None
        case "cas", (int(expected), int(value)):
            return await client.compare_and_set(intent.key, expected=expected, value=value)
        case "increment", 1:
            return await client.increment(intent.key)
        case _:
            raise AssertionError(f"no client can do {intent}")


def _learn(workload: Workload, call: Call) -> None:
    match call.f, call.value:
        case "write", int(value):
            workload.learn(call.key, value)
        case "cas", (int(), int(value)) if call.result is True:
            workload.learn(call.key, value)
        case "read", None if isinstance(call.result, int):
            workload.learn(call.key, call.result)
        case _:
            pass  # a refused compare-and-set or a counter teaches nothing


async def final_reads(
    workers: list[Worker], keys: list[str], *, deadline_ns: int, now_ns: Callable[[], int]
) -> list[str]:
    """Read every key once, each through the next worker, trying again until the deadline; return those unread.

    Data that was lost for good shows here even if nobody read the key before.
    """

    async def read_share(worker: Worker, share: list[str]) -> list[str]:
        unread: list[str] = []
        for key in share:
            while (call := await worker.perform(Intent("read", key))).outcome != "ok":
                if now_ns() > deadline_ns:
                    unread.append(key)
                    break
                await asyncio.sleep(_UNREACHABLE_WAIT_S * 2)
            assert call.outcome != "open", "a performed call is complete"
        return unread

    shares = [keys[place :: len(workers)] for place in range(len(workers))]
    unread = await asyncio.gather(*map(read_share, workers, shares))
    return sorted(key for share in unread for key in share)
