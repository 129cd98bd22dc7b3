"""Runs one job in a process of its own: `python -m quorate.lab.scale.child`, the job on standard input.

Workers of Dask and Ray live long, share a process between threads, and are other people's. A simulated program leaves
dead tasks behind on purpose, changes its process while it runs, and may end it. So a worker only starts this process
and waits: what a job does to its process it does to this one, and the worker can say how it ended.
"""

import faulthandler
import os
import signal
import subprocess
import sys
import threading
from typing import BinaryIO

import msgspec

from quorate.lab.scale.answer import Answer, Lost, Refused, decode_answer, encode_answer, perform
from quorate.lab.scale.job import Job

# A job that takes longer does not end: it is ended, and counts as lost.
JOB_TIME_MAX_S = 3_600
# Of what the process said before it died.
STDERR_BYTES_MAX = 2_000


def run_in_child(job_data: bytes) -> bytes:
    """Run an encoded job in a new process and return the encoded answer; called in workers.

    The process ends with the worker: it watches the pipe that only the worker holds open.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "quorate.lab.scale.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        said: list[bytes] = []
        # Read beside, so that a chatty job does not stand still with a full pipe.
        reader = threading.Thread(target=_keep_end, args=(process.stderr, said), daemon=True)
        reader.start()
        try:
            process.stdin.write(len(job_data).to_bytes(4, "big") + job_data)
            process.stdin.flush()
            data = process.stdout.read()
        except BrokenPipeError:
            data = b""
        status = process.wait()
        reader.join(timeout=5)
    return encode_answer(_answer_of(data, status, b"".join(said).decode(errors="replace").strip()))


def _answer_of(data: bytes, status: int, said: str) -> Answer:
    if status == 0:
        return decode_answer(data)
    if "No module named" in said and "quorate" in said:
        return Refused(f"a worker cannot import quorate: {said.splitlines()[-1]}")
    how = f"signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"exit status {status}"
    return Lost(f"its process ended with {how}" + (f": {said}" if said else ""))


def _keep_end(stream: BinaryIO, said: list[bytes]) -> None:
    while block := stream.read(1 << 16):
        said[:] = [(b"".join(said) + block)[-STDERR_BYTES_MAX:]]


def limit_time() -> None:
    """Let the operating system end this process when its job takes too long."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, JOB_TIME_MAX_S)


def _end_with_parent() -> None:
    while os.read(0, 1 << 16):
        pass
    os._exit(1)


def main() -> None:
    """Do the job that standard input holds; the answer goes to standard output, and what the job prints to error."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    size = int.from_bytes(_read(4), "big")
    job = msgspec.json.decode(_read(size), type=Job)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_time()
    answers.write(encode_answer(perform(job)))
    answers.flush()
    # Dead tasks of simulated programs are not to be collected, so nothing of the interpreter is taken down.
    os._exit(0)


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
