"""What a node keeps: one write-ahead log for all its groups, bases for applied state, snapshots."""

from quorate.storage.scan import Cut
from quorate.storage.volatile import MemoryDisk
from quorate.storage.wal import Recovery, WriteAheadLog

__all__ = ["Cut", "MemoryDisk", "Recovery", "WriteAheadLog"]
