"""Finds the programs of servers, and names the package that brings one which is not there."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from quorate.kernel import errors

# Daemons live here on Debian, and an ordinary user's PATH has it not.
_ELSEWHERE = ("/usr/sbin", "/usr/local/sbin")


def program(name: str, *, package: str, more: Sequence[str | Path] = ()) -> str:
    """Return a program by its absolute path.

    Args:
        name: its name, or a path.
        package: the distribution's package that holds it, for the sentence when it is missing.
        more: directories to look in after the PATH.

    Raises:
        UsageError: it is not installed; the sentence names the package.
    """
    found = shutil.which(name)
    if found is None:
        found = shutil.which(name, path=os.pathsep.join(map(str, (*more, *_ELSEWHERE))))
    if found is None:
        raise errors.UsageError(f"{name} is not on the PATH: install the {package} package")
    return found
