"""Results of a campaign in one file: lines of JSON, appended, each under the address of its job.

A line is written at once and synced, so a campaign that is killed has lost at most the line that it was writing. That
one is cut off when the file is opened again; everything before it is used, and nothing in it is computed twice.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final, Literal

import msgspec

from quorate.kernel.errors import UsageError
from quorate.lab.scale.answer import Raised, Returned
from quorate.lab.scale.job import Job

VERSION: Final = 1
HEAD: Final = b'{"quorate":"results",'


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    quorate: Literal["results"]
    version: int
    # How a range of seeds is cut into jobs; that of the first campaign holds for all that follow in this file.
    seeds_per_job: int = 1


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one job. Only a `result` is used again: what was killed or raised gets another chance."""

    address: str
    task: str
    first_seed: int
    seed_count: int
    # JSON; empty when there is none.
    result: msgspec.Raw = msgspec.Raw()
    raised: str = ""
    killed: str = ""


class Results:
    """The open file; made by `open_results`."""

    def __init__(self, path: Path, file: FileIO, seeds_per_job: int) -> None:
        self.path = path
        self._file = file
        # Address → where its line lies. Results themselves may be more than fits into memory.
        self._places: dict[str, tuple[int, int]] = {}
        # What was mended or left out on opening, a sentence each.
        self.repairs: list[str] = []
        self.head = Head(quorate="results", version=VERSION, seeds_per_job=seeds_per_job)
        self._end = 0
        self._load()

    def __len__(self) -> int:
        return len(self._places)

    def _load(self) -> None:
        with open(self._file.fileno(), "rb", closefd=False) as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n") and (number > 1 or HEAD.startswith(line[: len(HEAD)])):
                    break
                if number == 1:
                    self._take_head(line)
                elif not self._take(line):
                    self.repairs.append(f"line {number} of {self.path} is damaged: left out, its job is run again")
                self._end += len(line)
        if self._file.seek(0, os.SEEK_END) > self._end:
            self.repairs.append(f"the last line of {self.path} was torn: cut off, its job is run again")
            self._file.truncate(self._end)
        if self._end == 0:
            self._append(msgspec.json.encode(self.head))

    def _take_head(self, line: bytes) -> None:
        try:
            self.head = msgspec.json.decode(line, type=Head)
        except msgspec.DecodeError as cause:
            raise UsageError(f"{self.path} is no file of results: {cause}") from cause
        if self.head.version != VERSION:
            raise UsageError(f"{self.path} is of version {self.head.version}, this program writes {VERSION}")
        if self.head.seeds_per_job < 1:
            raise UsageError(f"{self.path}: seeds_per_job is {self.head.seeds_per_job}")

    def _take(self, data: bytes) -> bool:
        try:
            line = msgspec.json.decode(data, type=Line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if line.result:
            self._places[line.address] = (self._end, len(data))
        return True

    def get(self, address: str) -> msgspec.Raw | None:
        """Return the result of a job; None when it has none yet."""
        place = self._places.get(address)
        if place is None:
            return None
        self._file.seek(place[0])
        return msgspec.json.decode(self._file.read(place[1]), type=Line).result

    def put(self, job: Job, answer: Returned | Raised) -> None:
        """Keep what a job answered; it is on the disk when this returns."""
        begin = self._end
        if isinstance(answer, Raised):
            self._put(job, "raised", answer.sentence)
        else:
            self._put(job, "result", answer.result)
            self._places[job.address] = (begin, self._end - begin)

    def put_killed(self, job: Job, sentence: str) -> None:
        """Note that a job ends the process that runs it."""
        self._put(job, "killed", sentence)

    def _put(self, job: Job, name: str, value: msgspec.Raw | str) -> None:
        line = {
            "address": job.address,
            "task": job.task,
            "first_seed": job.first_seed,
            "seed_count": job.seed_count,
            name: value,
        }
        self._append(msgspec.json.encode(line))

    def _append(self, line: bytes) -> None:
        data = line + b"\n"
        self._file.seek(self._end)
        written = self._file.write(data)
        if written != len(data):
            raise OSError(f"{self.path}: only {written} of {len(data)} bytes could be written")
        os.fsync(self._file.fileno())
        self._end += len(data)


@contextmanager
def open_results(path: Path | None, *, seeds_per_job: int = 1) -> Iterator[Results | None]:
    """Open a file of results for the length of a block, or make it; None opens none.

    Args:
        path: of the file.
        seeds_per_job: for a new file; one that exists keeps its own.

    Raises:
        UsageError: it is no file of results, of a newer version, or another campaign is writing to it.
        OSError: it cannot be opened or written.
    """
    if path is None:
        yield None
        return
    with FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
        _lock(path, file)
        yield Results(path, file, seeds_per_job)


def _lock(path: Path, file: FileIO) -> None:
    try:
        import fcntl
    except ImportError:  # a platform without it has no such lock
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as cause:
        raise UsageError(f"another campaign is writing to {path}") from cause
