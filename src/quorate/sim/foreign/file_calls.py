"""The calls by which programs reach files: each asks whether the path is the host's, else falls through."""

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from typing import Any, Self

from quorate.sim.foreign.files import DESCRIPTOR_MIN, REAL, OpenDirectory, Place
from quorate.sim.loop import running_incarnation
from quorate.sim.sockets import os_error

_FLAGS = {"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
          "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL}  # fmt: skip


def _open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,  # noqa: FBT001, FBT002  the builtin's signature
    opener: Any = None,
) -> Any:
    place = Place.of(file)
    if place is None:
        _refuse_shared(file, mode)
        return REAL["builtin open"](file, mode, buffering, encoding, errors, newline, closefd, opener)
    kinds = [letter for letter in mode if letter in _FLAGS]
    if len(kinds) != 1 or set(mode) - set("rwaxbt+") or len(set(mode)) != len(mode) or {"b", "t"} <= set(mode):
        raise ValueError(f"invalid mode: {mode!r}")
    flags = _FLAGS[kinds[0]]
    if "+" in mode:
        flags = flags & ~os.O_WRONLY | os.O_RDWR
    raw = place.open(flags)
    if kinds[0] == "a":
        raw.seek(0, os.SEEK_END)
    if buffering == 0:
        if "b" not in mode:
            raise ValueError("can't have unbuffered text I/O")
        return raw
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    kind: Any = io.BufferedRandom if "+" in mode else io.BufferedReader if kinds[0] == "r" else io.BufferedWriter
    buffered = kind(raw, size)
    if "b" in mode:
        return buffered
    text = io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline, line_buffering=buffering == 1)
    text.mode = mode  # type: ignore[misc]
    return text


def _refuse_shared(file: Any, mode: str) -> None:
    incarnation = running_incarnation()
    if incarnation is None or incarnation.host.number == 0 or isinstance(file, int) or not set(mode) & set("wax+"):
        return
    if not os.fspath(file) or os.fsdecode(file).startswith("/dev/"):
        return
    mount = incarnation.host.world.mount
    reason = f"hosts would share this file, and no fault would reach it: write below {mount}"
    raise PermissionError(errno.EACCES, reason, os.fsdecode(file))


def _by_path(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call whose first argument is a path."""

    def call(path: Any = ".", *args: Any, **keywords: Any) -> Any:
        place = Place.of(path)
        if place is None:
            return REAL[name](path, *args, **keywords)
        return act(place, *args, **keywords)

    call.__name__ = name
    return call


def _by_descriptor(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call whose first argument is a descriptor, or an object that has one."""

    def call(fd: Any, *args: Any) -> Any:
        number = fd if isinstance(fd, int) else fd.fileno()
        if number < DESCRIPTOR_MIN:
            return REAL[name](fd, *args)
        incarnation = running_incarnation()
        opened = None if incarnation is None else incarnation.descriptors.get(number)
        if opened is None:
            raise os_error(errno.EBADF)
        return act(opened, *args)

    call.__name__ = name
    return call


def _os_open(place: Place, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if place.is_directory:
        return OpenDirectory(place.incarnation, place.path).descriptor
    return place.open(flags).fileno()


def _move(name: str) -> Callable[..., None]:
    def move(src: Any, dst: Any, **keywords: Any) -> None:
        old, new = Place.of(src), Place.of(dst)
        if old is None and new is None:
            REAL[name](src, dst, **keywords)
            return
        if old is None or new is None:
            raise os_error(errno.EXDEV)
        if old.inode is not None:
            if new.is_directory:
                raise new.fail(errno.EISDIR)
            old.host.disk.rename(old.name, new.name)
            return
        if not old.is_directory:
            raise old.fail(errno.ENOENT)
        _move_directory(old, new)

    move.__name__ = name
    return move


def _move_directory(old: Place, new: Place) -> None:
    if new.inode is not None or new.children():
        raise new.fail(errno.ENOTEMPTY)
    disk, directories = old.host.disk, old.host.directories
    for name in disk.names(old.name + "/"):
        disk.rename(name, new.name + name[len(old.name) :])
    for name in [name for name in directories if name == old.name or name.startswith(old.name + "/")]:
        del directories[name]
        directories[new.name + name[len(old.name) :]] = None
    directories[new.name] = None


def _remove(place: Place, *, dir_fd: int | None = None) -> None:
    if place.inode is None:
        raise place.fail(errno.EISDIR if place.is_directory else errno.ENOENT)
    # The parent stays a directory, also when it becomes empty.
    _keep_parent(place)
    place.host.disk.remove(place.name)


def _keep_parent(place: Place) -> None:
    parent = os.path.dirname(place.name)
    if parent:
        place.host.directories[parent] = None


def _mkdir(place: Place, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
    if place.is_directory or place.inode is not None:
        raise place.fail(errno.EEXIST)
    parent = Place(place.incarnation, os.path.dirname(place.name), os.path.dirname(place.path))
    if not parent.is_directory:
        raise place.fail(errno.ENOENT)
    place.host.directories[place.name] = None


def _rmdir(place: Place, *, dir_fd: int | None = None) -> None:
    if not place.is_directory:
        raise place.fail(errno.ENOTDIR if place.inode is not None else errno.ENOENT)
    if place.children():
        raise place.fail(errno.ENOTEMPTY)
    _keep_parent(place)
    place.host.directories.pop(place.name, None)


def _listdir(place: Place) -> list[str]:
    if not place.is_directory:
        raise place.fail(errno.ENOTDIR if place.inode is not None else errno.ENOENT)
    return place.children()


class Entry:
    """What `os.scandir` yields."""

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        self.path = place.path
        self._place = place

    def __fspath__(self) -> str:
        return self.path

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a directory."""
        return self._place.inode is None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a file."""
        return self._place.inode is not None

    def is_symlink(self) -> bool:
        """Return False: there are no links."""
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return kind and size."""
        return self._place.state()


class Scan:
    """An iterator of entries that is a context, too."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> "Scan":
        return self

    def __next__(self) -> Entry:
        return next(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Yield no more."""
        self._entries = iter(())


def _scandir(place: Place) -> Scan:
    below = f"{place.name}/" if place.name else ""
    return Scan(
        [Entry(name, Place(place.incarnation, below + name, f"{place.path}/{name}")) for name in _listdir(place)]
    )


def _truncate(place: Place, length: int) -> None:
    with place.open(os.O_RDWR) as raw:
        raw.truncate(length)


def _state(place: Place, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
    return place.state()


def _may(place: Place, mode: int, **_: Any) -> bool:
    return place.inode is not None or place.is_directory


def _fstat(opened: Any) -> os.stat_result:
    place = Place.of(opened.name)
    assert place is not None, "what is open lies below the mount"
    return place.state()


_BY_PATH: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("open", _os_open), ("remove", _remove), ("unlink", _remove), ("mkdir", _mkdir), ("rmdir", _rmdir),
    ("listdir", _listdir), ("scandir", _scandir), ("stat", _state), ("lstat", _state), ("access", _may),
    ("truncate", _truncate), ("utime", lambda *_, **__: None), ("chmod", lambda *_, **__: None),
)  # fmt: skip
_BY_DESCRIPTOR: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("fsync", lambda opened: opened.sync()), ("fdatasync", lambda opened: opened.sync()),
    ("close", lambda opened: opened.close()), ("read", lambda opened, count: opened.read(count)),
    ("write", lambda opened, data: opened.write(data)), ("lseek", lambda opened, *to: opened.seek(*to)),
    ("ftruncate", lambda opened, size: opened.truncate(size)), ("fstat", _fstat),
)  # fmt: skip


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """Yield (module, name, replacement)."""
    yield builtins, "open", _open
    for name, act in _BY_PATH:
        if name in REAL:
            yield os, name, _by_path(name, act)
    for name, act in _BY_DESCRIPTOR:
        if name in REAL:
            yield os, name, _by_descriptor(name, act)
    yield os, "replace", _move("replace")
    yield os, "rename", _move("rename")
