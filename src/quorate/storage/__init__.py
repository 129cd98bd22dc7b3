"""What a node keeps: one write-ahead log for all its groups, bases for applied state, snapshots."""

from quorate.storage.base import Base, Changes, Restorer, Snapshot
from quorate.storage.chunks import ChunkReader, chunks_of, split_chunks, split_streams
from quorate.storage.diskbase import DiskBase
from quorate.storage.doctor import BaseReport, LogReport, inspect, inspect_image, inspect_lmdb, inspect_log
from quorate.storage.lmdbbase import LMDBBase
from quorate.storage.scan import Cut, Segment
from quorate.storage.volatile import MemoryDisk
from quorate.storage.wal import Recovery, WriteAheadLog

__all__ = [
    "Base",
    "BaseReport",
    "Changes",
    "ChunkReader",
    "Cut",
    "DiskBase",
    "LMDBBase",
    "LogReport",
    "MemoryDisk",
    "Recovery",
    "Restorer",
    "Segment",
    "Snapshot",
    "WriteAheadLog",
    "chunks_of",
    "inspect",
    "inspect_image",
    "inspect_lmdb",
    "inspect_log",
    "split_chunks",
    "split_streams",
]
