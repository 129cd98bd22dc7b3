"""Files below the mount: `open`, `os` and `pathlib` on the simulated disk of the running host.

The raw file is ours, buffers and text layers are Python's own, so a crash loses what the program had not flushed and a
power cut what it had not synced. Elsewhere a program may read; to write there is refused, since hosts would share it.
"""

import builtins
import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from quorate.kernel.errors import DiskFull, StorageError
from quorate.sim.disk import Inode
from quorate.sim.loop import running_incarnation
from quorate.sim.sockets import os_error

if TYPE_CHECKING:
    from quorate.sim.host import Incarnation

# Descriptors of the world begin here: no process has so many real ones.
DESCRIPTOR_MIN: Final = 1 << 28
REAL: Final[dict[str, Any]] = {
    name: getattr(os, name)
    for name in (
        "open", "close", "read", "write", "lseek", "fsync",
        "fdatasync", "ftruncate", "fstat", "replace", "rename",
        "remove", "unlink", "listdir", "scandir", "mkdir", "rmdir", "stat", "lstat",
        "access", "truncate", "utime", "chmod",
    )
    if hasattr(os, name)
}  # fmt: skip
REAL["builtin open"] = builtins.open


def translated(act: Callable[[], Any]) -> Any:
    """Do something with a disk, giving its errors the names of the operating system."""
    try:
        return act()
    except DiskFull as error:
        raise os_error(errno.ENOSPC) from error
    except StorageError as error:
        raise os_error(errno.EIO) from error


class RawFile(io.RawIOBase):
    """One open file of one incarnation, unbuffered."""

    def __init__(self, incarnation: "Incarnation", path: str, inode: Inode, flags: int) -> None:
        super().__init__()
        self.name: Any = path
        self._incarnation = incarnation
        self._disk = incarnation.host.disk
        self._inode = inode
        self._access = flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
        self._is_appending = bool(flags & os.O_APPEND)
        self._offset = 0
        self._descriptor = _give_descriptor(incarnation, self)

    def readable(self) -> bool:
        """Return whether it was opened for reading."""
        return self._access != os.O_WRONLY

    def writable(self) -> bool:
        """Return whether it was opened for writing."""
        return self._access != os.O_RDONLY

    def seekable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return a descriptor that means something to this host only."""
        self._check()
        return self._descriptor

    def isatty(self) -> bool:
        """Return False."""
        return False

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def readinto(self, buffer: Any, /) -> int:
        """Read at the current place."""
        self._check()
        view = memoryview(buffer).cast("B")
        data = translated(lambda: self._disk.read(self.name, self._inode, self._offset, len(view)))
        view[: len(data)] = data
        self._offset += len(data)
        return len(data)

    def write(self, buffer: Any, /) -> int:
        """Write at the current place, or at the end."""
        self._check()
        data = bytes(buffer)
        # The dead write nothing, and say nothing: this may be a collected buffer that flushes.
        if not self._incarnation.is_alive:
            return len(data)
        if self._is_appending:
            self._offset = len(self._inode.cache)
        self._fill(self._offset)
        translated(lambda: self._disk.write(self.name, self._inode, self._offset, data))
        self._offset += len(data)
        return len(data)

    def _fill(self, end: int) -> None:
        size = len(self._inode.cache)
        if end > size:
            translated(lambda: self._disk.write(self.name, self._inode, size, bytes(end - size)))

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move; holes read as zeros."""
        self._check()
        base = (0, self._offset, len(self._inode.cache))[whence]
        if base + offset < 0:
            raise os_error(errno.EINVAL)
        self._offset = base + offset
        return self._offset

    def tell(self) -> int:
        """Return the current place."""
        return self._offset

    def truncate(self, size: int | None = None, /) -> int:
        """Cut or stretch."""
        self._check()
        size = self._offset if size is None else size
        if size < len(self._inode.cache):
            self._disk.truncate(self._inode, size)
        else:
            self._fill(size)
        return size

    def sync(self) -> None:
        """Make it durable, blocking this host for a seeded time."""
        self._check()
        self._incarnation.check()
        disk = self._disk
        self._incarnation.stall(disk.sync_delay(self._incarnation.host.world.scheduler.now))
        translated(lambda: disk.finish_sync(self.name, self._inode, disk.snapshot(self._inode)))

    def close(self) -> None:
        """Give the descriptor back."""
        if not self.closed:
            self._incarnation.descriptors.pop(self._descriptor, None)
        super().close()


class OpenDirectory:
    """A directory opened to be synced."""

    def __init__(self, incarnation: "Incarnation", path: str) -> None:
        self.name = path
        self._incarnation = incarnation
        self.descriptor = _give_descriptor(incarnation, self)

    def sync(self) -> None:
        """Make all changes of names durable."""
        disk = self._incarnation.host.disk
        self._incarnation.stall(disk.sync_delay(self._incarnation.host.world.scheduler.now))
        translated(disk.sync_names)

    def close(self) -> None:
        """Give the descriptor back."""
        self._incarnation.descriptors.pop(self.descriptor, None)


def _give_descriptor(incarnation: "Incarnation", what: Any) -> int:
    incarnation.last_descriptor += 1
    incarnation.descriptors[DESCRIPTOR_MIN + incarnation.last_descriptor] = what
    return DESCRIPTOR_MIN + incarnation.last_descriptor


class Place:
    """A path below the mount of the running host: the tree of directories over the flat names of the disk."""

    def __init__(self, incarnation: "Incarnation", name: str, path: str) -> None:
        self.incarnation = incarnation
        self.host = incarnation.host
        # Within the disk; empty for the mount itself.
        self.name = name
        self.path = path

    @classmethod
    def of(cls, path: Any) -> "Place | None":
        """Return the place of a path; None outside every host and above the mount."""
        incarnation = running_incarnation()
        if incarnation is None or isinstance(path, int) or path is None:
            return None
        text = os.fsdecode(path)
        mount = incarnation.host.world.mount
        if not text.startswith(mount):
            return None
        text = os.path.normpath(text)
        if text != mount and not text.startswith(mount + "/"):
            return None
        incarnation.check()
        return cls(incarnation, text[len(mount) + 1 :], text)

    @property
    def inode(self) -> Inode | None:
        """Return the file here, if there is one."""
        return self.host.disk.open(self.name, create=False) if self.name in self.host.disk else None

    @property
    def is_directory(self) -> bool:
        """Return whether it was made a directory, or has something below."""
        below = self.name + "/"
        return not self.name or self.name in self.host.directories or bool(self.host.disk.names(below))

    def children(self) -> list[str]:
        """Return what is directly below, sorted. Complexity: O(files)."""
        below = f"{self.name}/" if self.name else ""
        names = [*self.host.disk.names(below), *(name for name in self.host.directories if name.startswith(below))]
        return sorted({name[len(below) :].split("/")[0]: None for name in names})

    def fail(self, number: int) -> OSError:
        """Return an error that names the path."""
        return OSError(number, os.strerror(number), self.path)

    def open(self, flags: int) -> RawFile:
        """Open or make the file."""
        if self.is_directory:
            raise self.fail(errno.EISDIR)
        is_new = self.name not in self.host.disk
        if is_new:
            parent = Place(self.incarnation, os.path.dirname(self.name), os.path.dirname(self.path))
            if not flags & os.O_CREAT or not parent.is_directory:
                raise self.fail(errno.ENOENT)
        elif flags & os.O_CREAT and flags & os.O_EXCL:
            raise self.fail(errno.EEXIST)
        inode = self.host.disk.open(self.name, create=is_new)
        if flags & os.O_TRUNC:
            self.host.disk.truncate(inode, 0)
        return RawFile(self.incarnation, self.path, inode, flags)

    def state(self) -> os.stat_result:
        """Return what `os.stat` tells: kind and size; times are 0."""
        inode = self.inode
        if inode is None and not self.is_directory:
            raise self.fail(errno.ENOENT)
        mode = stat.S_IFDIR | 0o755 if inode is None else stat.S_IFREG | 0o644
        return os.stat_result((mode, 0, self.host.number, 1, 0, 0, 0 if inode is None else len(inode.cache), 0, 0, 0))


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """Yield (module, name, replacement)."""
    from quorate.sim.foreign import file_calls

    yield from file_calls.replacements()
