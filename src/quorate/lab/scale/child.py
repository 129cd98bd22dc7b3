"""Runs jobs in a process beside the worker: `python -m quorate.lab.scale.child`, jobs on standard input.

Workers of Dask and Ray live long, share a process between threads, and are other people's. A simulated program leaves
dead tasks behind on purpose, changes its process while it runs, and may end it. So a worker only starts this process
and waits: what a job does to its process it does to this one, and the worker can say how it ended.
"""

import faulthandler
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import msgspec

from quorate.lab.scale.answer import Answer, Lost, Raised, Refused, encode_answer, perform
from quorate.lab.scale.job import Job

# A job that takes longer does not end: it is ended, and counts as lost.
JOB_TIME_MAX_S = 3_600
# A process is replaced after so many seeds …
SEEDS_PER_PROCESS = 60
# … or when nobody has had a job for it for so long.
IDLE_MAX_S = 20
# Of what the process said before it died.
STDERR_BYTES_MAX = 2_000
# How a process goes that was not given the job, or did not take it; any other end is the job's doing.
GONE_STATUS = 75
SIZE_BYTES = 4

_free: "list[Child]" = []
"""Of this worker, waiting for a job."""


def run_in_child(job_data: bytes) -> bytes:
    """Run an encoded job in a process beside this one and return the encoded answer; called in workers.

    The process ends with the worker: it watches the pipe that only the worker holds open.
    """
    while True:
        try:
            child = _free.pop()  # one step, so that threads need no lock
        except IndexError:
            child = Child()
        answer = child.run(job_data)
        if isinstance(answer, bytes):
            _free.append(child)
            return answer
        if answer is not None:
            return encode_answer(answer)
        # It had nothing to do for too long, and went when the job came.


class Child:
    """The process, as the worker sees it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quorate.lab.scale.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._said = b""
        # Read beside, so that a chatty job does not stand still with a full pipe.
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        while block := os.read(self._process.stderr.fileno(), 1 << 16):
            self._said = (self._said + block)[-STDERR_BYTES_MAX:]

    def run(self, job_data: bytes) -> bytes | Answer | None:
        """Return the encoded answer; or what to answer when the process is gone; None when it went before the job."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(_framed(job_data))
            self._process.stdin.flush()
            size = int.from_bytes(self._process.stdout.read(SIZE_BYTES), "big")
            data = self._process.stdout.read(size)
        except BrokenPipeError:
            size, data = 0, b""
        if size and len(data) == size:
            return data
        # What it did not take is still in the buffer, and would be written now.
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with self._process as process:
            status = process.wait()
            self._reader.join()
        return None if status == GONE_STATUS else self._how_it_ended(status)

    def _how_it_ended(self, status: int) -> Answer:
        said = self._said.decode(errors="replace").strip()
        if "No module named" in said and "quorate" in said:
            return Refused(f"a worker cannot import quorate: {said.splitlines()[-1]}")
        how = f"signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"exit status {status}"
        return Lost(f"its process ended with {how}" + (f": {said}" if said else ""))


def limit_time() -> None:
    """Let the operating system end this process when its job takes too long."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, JOB_TIME_MAX_S)


def main() -> None:
    """Do the jobs that come; answers go to standard output, and what the jobs print to standard error."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    seed_count = 0
    while seed_count < SEEDS_PER_PROCESS:
        try:
            job = msgspec.json.decode(jobs.get(timeout=IDLE_MAX_S), type=Job)
        except queue.Empty:
            break
        limit_time()
        answer = perform(job)
        answers.write(_framed(encode_answer(answer)))
        answers.flush()
        seed_count += job.seed_count
        if isinstance(answer, Raised):
            # Who knows what it left behind.
            break
    # Dead tasks of simulated programs are not to be collected, so nothing of the interpreter is taken down.
    os._exit(GONE_STATUS)


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(SIZE_BYTES, "big") + data


def _read_jobs(jobs: "queue.SimpleQueue[bytes]") -> None:
    """Read jobs as they come; the end of the pipe is the end of the worker, and of this process."""
    while True:
        size = int.from_bytes(_read(SIZE_BYTES), "big")
        jobs.put(_read(size))


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        block = os.read(0, size - len(data))
        if not block:
            os._exit(1)
        data += block
    return data


if __name__ == "__main__":
    main()
