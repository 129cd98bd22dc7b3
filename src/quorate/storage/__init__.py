"""What a node keeps: one write-ahead log for all its groups, bases for applied state, snapshots."""

from quorate.storage.base import Base, Changes, Restorer, Snapshot
from quorate.storage.chunks import ChunkReader, chunks_of, split_chunks
from quorate.storage.diskbase import DiskBase
from quorate.storage.lmdbbase import LMDBBase
from quorate.storage.scan import Cut
from quorate.storage.volatile import MemoryDisk
from quorate.storage.wal import Recovery, WriteAheadLog

__all__ = [
    "Base",
    "Changes",
    "ChunkReader",
    "Cut",
    "DiskBase",
    "LMDBBase",
    "MemoryDisk",
    "Recovery",
    "Restorer",
    "Snapshot",
    "WriteAheadLog",
    "chunks_of",
    "split_chunks",
]
