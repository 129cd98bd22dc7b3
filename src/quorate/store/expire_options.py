"""When a key ends: EX, PX, EXAT and PXAT, shared by SET, GETEX and the EXPIRE family."""

from quorate.store.parse import INT_MAX, integer
from quorate.store.reply import CommandError
from quorate.store.space import Space


def due_ms(space: Space, span: tuple[bytes, bytes], name: str) -> int:
    """Return the absolute end for an option and its number; raise CommandError when it cannot be.

    Args:
        space: gives the present log time.
        span: one of EX, PX, EXAT, PXAT in upper case, and its argument.
        name: the command, for the sentence.

    Returns:
        ms since 1970, above 0; it may have passed already.
    """
    word, text = span
    number = integer(text)
    invalid = CommandError("ERR", f"invalid expire time in '{name}' command")
    if number <= 0:
        raise invalid
    if word in (b"EX", b"EXAT"):
        number *= 1000
    if word in (b"EX", b"PX"):
        number += space.store.horizon_ms
    if number > INT_MAX:
        raise invalid
    return number
