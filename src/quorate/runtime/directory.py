"""A node's directory: one owner at a time, and never another node's."""

import fcntl
import json
import os
from pathlib import Path

from quorate.kernel import NodeId
from quorate.kernel.errors import ForeignData

FORMAT_VERSION = 1
IDENTITY = "identity.json"


class DirectoryLock:
    """Holds a directory for this process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        """Give the directory back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def lock_directory(directory: Path, *, node: NodeId, cluster: str) -> DirectoryLock:
    """Take a directory for this node, and write down whose it is when it is new.

    Raises:
        ForeignData: it belongs to another node or cluster, to a newer version, or another process uses it.
        OSError: it cannot be made or written; the sentence names it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise ForeignData(f"{directory} is in use by another process; stop that one first") from cause
        mine = {"format": FORMAT_VERSION, "cluster": cluster, "node": node}
        path = directory / IDENTITY
        found = read_identity(directory)
        if found is None:
            partial = path.with_suffix(".new")
            with partial.open("w", encoding="utf-8") as file:
                json.dump(mine, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _sync_directory(directory)
        elif found != mine:
            raise ForeignData(
                f"{directory} belongs to node {found.get('node')} of cluster {found.get('cluster')!r} "
                f"(format {found.get('format')}), not to node {node} of cluster {cluster!r} (format {FORMAT_VERSION})"
            )
    except BaseException:
        os.close(descriptor)
        raise
    return DirectoryLock(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_identity(directory: Path) -> dict[str, object] | None:
    """Return what a directory says about its owner; None when it says nothing."""
    try:
        text = (directory / IDENTITY).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        found = json.loads(text)
    except ValueError as cause:
        raise ForeignData(f"{directory / IDENTITY} is not what a node writes: {text[:60]!r}") from cause
    if not isinstance(found, dict):
        raise ForeignData(f"{directory / IDENTITY} is not what a node writes: {text[:60]!r}")
    return found
