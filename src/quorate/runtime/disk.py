"""Files of this machine, below one directory."""

import asyncio
import concurrent.futures
import errno
import os
from pathlib import Path

from quorate.kernel.errors import DiskError, DiskFull, SyncFailed, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def _translate(cause: OSError, name: str) -> Exception:
    if cause.errno in _FULL:
        return DiskFull(f"{name}: no space left on the device")
    return DiskError(f"{name}: {cause.strerror}")


class RealFile:
    """An open file: pread, pwrite, fdatasync."""

    def __init__(self, name: str, descriptor: int, syncer: concurrent.futures.Executor) -> None:
        self.name = name
        self._descriptor = descriptor
        self._syncer = syncer

    def size_bytes(self) -> int:
        """Return the current length."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, byte_count: int) -> bytes:
        """Return up to so many bytes; fewer only at the end of the file."""
        parts: list[bytes] = []
        while byte_count > 0:
            try:
                part = os.pread(self._descriptor, byte_count, offset)
            except OSError as cause:
                raise _translate(cause, self.name) from cause
            if not part:
                break
            parts.append(part)
            offset += len(part)
            byte_count -= len(part)
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        """Write at an offset."""
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view = view[written:]
                offset += written
        except OSError as cause:
            raise _translate(cause, self.name) from cause

    def truncate(self, size_bytes: int) -> None:
        """Cut the file."""
        try:
            os.ftruncate(self._descriptor, size_bytes)
        except OSError as cause:
            raise _translate(cause, self.name) from cause

    async def sync(self) -> None:
        """Make content and length durable, in the sync thread."""
        await asyncio.get_running_loop().run_in_executor(self._syncer, self.sync_now)

    def sync_now(self) -> None:
        """Make content and length durable, blocking."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as cause:
            raise SyncFailed(f"{self.name}: sync failed: {cause.strerror}") from cause

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class RealDisk:
    """One directory. Names are relative, may contain '/', and never lead out of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._syncer = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="sync")

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        if not name or name.startswith("/") or any(part in {"", ".", ".."} for part in parts):
            raise UsageError(f"{name!r} is not a name inside a node's directory")
        return self.directory / name

    def open(self, name: str, *, create: bool = False) -> RealFile:
        """Open for reading and writing."""
        path = self._path(name)
        flags = os.O_RDWR | os.O_CLOEXEC
        try:
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
                flags |= os.O_CREAT
            descriptor = os.open(path, flags, 0o644)
        except FileNotFoundError:
            raise
        except OSError as cause:
            raise _translate(cause, str(path)) from cause
        return RealFile(str(path), descriptor, self._syncer)

    def names(self, prefix: str = "") -> list[str]:
        """Return the names that begin with a prefix, sorted."""
        found = [path.relative_to(self.directory).as_posix() for path in self.directory.rglob("*") if path.is_file()]
        return sorted(name for name in found if name.startswith(prefix))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        source, target = self._path(old), self._path(new)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        except FileNotFoundError:
            raise
        except OSError as cause:
            raise _translate(cause, str(source)) from cause

    def remove(self, name: str) -> None:
        """Remove a file."""
        path = self._path(name)
        try:
            path.unlink()
        except FileNotFoundError:
            raise
        except OSError as cause:
            raise _translate(cause, str(path)) from cause

    def sync_names(self) -> None:
        """Sync the directory and all below it."""
        for path, _directories, _files in os.walk(self.directory):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as cause:
                raise SyncFailed(f"{path}: sync failed: {cause.strerror}") from cause

    def free_bytes(self) -> int:
        """Return what an unprivileged process may still write."""
        facts = os.statvfs(self.directory)
        return facts.f_bavail * facts.f_frsize

    def close(self) -> None:
        """End the sync thread."""
        self._syncer.shutdown(wait=True)
