"""Files that a command writes when it is done."""

from pathlib import Path


def check_paths(*paths: Path | None) -> None:
    """Raise UsageError for a file that cannot be written, before anything runs for it."""
    from quorate.kernel.errors import UsageError

    for path in paths:
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise UsageError(f"cannot write to {path}: no such directory, or it is one")
