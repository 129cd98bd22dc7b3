"""What is in a node's directory and whether it is sound, without changing anything."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lmdb

from quorate.env import Disk
from quorate.kernel import GroupId, NodeId
from quorate.kernel.errors import Corrupt, QuorateError
from quorate.storage.blocks import FORMAT_VERSION
from quorate.storage.chunks import ChunkReader, split_chunks
from quorate.storage.scan import (
    Cut,
    Segment,
    check_chain,
    read_all,
    read_header,
    read_segment,
    segment_names,
)


@dataclass(frozen=True, kw_only=True)
class LogReport:
    """What a log looks like."""

    # Those that could be read, in order.
    segments: tuple[Segment, ...]
    # Whose log it is, as the segments say; None where there are none.
    node: NodeId | None
    cluster: str | None
    # (ordinal, record) of each group, in order.
    groups: dict[GroupId, list[tuple[int, bytes]]]
    # What the next start will cut off; that is no damage.
    cut: Cut | None
    # One sentence each; empty: sound.
    problems: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether a node would start on it."""
        return not self.problems

    @property
    def segment_count(self) -> int:
        """How many segments could be read."""
        return len(self.segments)

    @property
    def record_count(self) -> int:
        """How many records there are."""
        return sum(segment.record_count for segment in self.segments)

    @property
    def log_bytes(self) -> int:
        """How large all segments are together, without what will be cut."""
        return sum(segment.end_offset for segment in self.segments)


def inspect(disk: Disk) -> LogReport:
    """Read the whole log of a directory without changing anything.

    Raises:
        Corrupt: a node would not start on it; the sentence is the first of the problems.
    """
    report = inspect_log(disk)
    if report.problems:
        raise Corrupt(report.problems[0])
    return report


def inspect_log(disk: Disk) -> LogReport:
    """Read the whole log of a directory and say what is in it; changes nothing and stops at nothing.

    Complexity: O(bytes of the log), in time and memory.
    """
    segments: list[Segment] = []
    problems: list[str] = []
    groups: dict[GroupId, list[tuple[int, bytes]]] = {}
    owner: tuple[NodeId, str] | None = None
    names = segment_names(disk)
    for place, (number, name) in enumerate(names):
        is_last = place == len(names) - 1
        try:
            data = read_all(disk, name)
            header = read_header(name, number, data, is_last=is_last)
            if header is None:
                if number > 1 and not segments and not problems:
                    problems.append(f"{name}: unfinished (offset 0), and the segment before it is missing")
                continue
            if header.version != FORMAT_VERSION:
                problems.append(f"{name}: has format {header.version}, and this program knows {FORMAT_VERSION}")
                continue
            if owner not in {None, (header.node, header.cluster)}:
                problems.append(
                    f"{name}: belongs to node {header.node} of cluster {header.cluster!r}, unlike the others"
                )
            owner = owner or (header.node, header.cluster)
            segment, blocks = read_segment(name, header, data, is_last=is_last)
        except QuorateError as cause:
            problems.append(str(cause))
            continue
        segments.append(segment)
        for _offset, frames in blocks:
            for frame in frames:
                records = groups.setdefault(frame.group, [])
                records.extend((frame.ordinal, record) for record in frame.records)
    if not problems:
        _try(lambda: check_chain(segments), problems)
    return LogReport(
        segments=tuple(segments),
        node=owner[0] if owner else None,
        cluster=owner[1] if owner else None,
        groups=dict(sorted(groups.items())),
        cut=segments[-1].cut if segments else None,
        problems=tuple(problems),
    )


@dataclass(frozen=True, kw_only=True)
class BaseReport:
    """What a state at rest looks like."""

    name: str
    count: int
    meta_bytes: int
    # None: sound.
    problem: str | None


def inspect_image(disk: Disk, name: str) -> BaseReport:
    """Read the image of a `DiskBase`, and check every checksum in it."""
    reader = ChunkReader(name)
    problems: list[str] = []

    def read() -> None:
        for chunk in split_chunks(name, read_all(disk, name)):
            reader.feed(chunk)
        reader.require_complete()

    _try(read, problems)
    return BaseReport(
        name=name,
        count=reader.pair_count,
        meta_bytes=len(reader.meta or b""),
        problem=problems[0] if problems else None,
    )


def inspect_lmdb(path: Path) -> BaseReport:
    """Walk through every pair of an `LMDBBase`; LMDB has no checksums, so this finds broken trees and not rot.

    Works beside a running node too: it only reads, and takes no lock file.
    """
    count, meta_bytes, problem = 0, 0, None
    try:
        environment = lmdb.open(str(path), readonly=True, lock=False, create=False, max_dbs=2)
        try:
            with environment.begin() as transaction:
                meta_bytes = len(transaction.get(b"meta") or b"")
                active = transaction.get(b"active")
                if active is None:
                    problem = f"{path}: no state was ever kept here"
                else:
                    table = environment.open_db(active, txn=transaction, create=False)
                    before = b""
                    for key, _value in transaction.cursor(db=table).iternext(keys=True, values=True):
                        count += 1
                        if bytes(key) <= before:
                            problem = f"{path / 'data.mdb'}: keys are out of order; remove the node's data"
                            break
                        before = bytes(key)
        finally:
            environment.close()
    except lmdb.Error as cause:
        problem = f"{path}: {cause}"
    return BaseReport(name=str(path), count=count, meta_bytes=meta_bytes, problem=problem)


def _try(check: Callable[[], None], problems: list[str]) -> None:
    try:
        check()
    except QuorateError as cause:
        problems.append(str(cause))
