"""The hash of the code that computes a result."""

import hashlib
import importlib.util
import platform
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from quorate.kernel.errors import UsageError

OWN: Final = "quorate"


@cache
def code_hash(task: str) -> str:
    """Return the hash of this package, of the package of the task when that is another, and of what runs them.

    Any changed byte of a source file gives another hash: a result of yesterday's code is never taken for today's.
    The versions of Python and msgspec belong to it, since chance and event loops are theirs.

    Args:
        task: "package.module:function".

    Raises:
        UsageError: the package of the task cannot be found.

    Complexity: O(bytes of source), once per process and package.
    """
    root = task.partition(":")[0].partition(".")[0]
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{platform.python_implementation()} {platform.python_version()} {msgspec.__version__}".encode())
    for name in dict.fromkeys((OWN, root)):
        digest.update(_package_hash(name))
    return digest.hexdigest()


@cache
def _package_hash(name: str) -> bytes:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise UsageError(f"no package {name!r} with source files is installed here")
    origin = Path(found.origin)
    base = origin.parent
    files = sorted(base.rglob("*.py")) if origin.name == "__init__.py" else [origin]
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        data = file.read_bytes()
        digest.update(f"{file.relative_to(base).as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.digest()
