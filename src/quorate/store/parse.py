"""Arguments as Redis reads them, with its words for what is wrong."""

from math import isinf, isnan
from typing import Final

from quorate.store.reply import CommandError

INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 63) - 1


def syntax_error() -> CommandError:
    """Return the refusal of a call whose options make no sense."""
    return CommandError("ERR", "syntax error")


def is_integer(text: bytes) -> bool:
    """Return whether text is an integer exactly as Redis prints one: no sign `+`, no zeros or spaces in front."""
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 19:
        return False
    return digits[0] != 48 or text == b"0"


def integer(text: bytes, error: str = "value is not an integer or out of range") -> int:
    """Return a 64-bit signed integer; raise CommandError with the given sentence."""
    if is_integer(text):
        value = int(text)
        if INT_MIN <= value <= INT_MAX:
            return value
    raise CommandError("ERR", error)


def real(text: bytes, error: str = "value is not a valid float") -> float:
    """Return a float, infinities included and NaN excluded; raise CommandError with the given sentence."""
    # Python takes underscores and surrounding spaces, C does not.
    if text and b"_" not in text and not text[:1].isspace() and not text[-1:].isspace() and len(text) <= 128:
        try:
            value = float(text)
        except ValueError:
            value = _hexadecimal(text)
        # A number too large or too small for a float is refused, as C's ERANGE is.
        is_out_of_range = (isinf(value) and b"n" not in text.lower()) or (value == 0.0 and _has_weight(text))
        if not isnan(value) and not is_out_of_range:
            return value
    raise CommandError("ERR", error)


def _has_weight(text: bytes) -> bool:
    """Return whether a number's digits before the exponent are not all zero."""
    digits = text.lower().partition(b"p" if b"x" in text.lower() else b"e")[0]
    return any(digit in b"123456789abcdef" for digit in digits)


def _hexadecimal(text: bytes) -> float:
    """Return a C hexadecimal float; NaN when it is none."""
    if b"x" not in text and b"X" not in text:
        return float("nan")
    try:
        return float.fromhex(text.decode("ascii"))
    except (ValueError, OverflowError):
        return float("nan")


def finite(value: float) -> float:
    """Return a float; raise CommandError when it is infinite or NaN."""
    if isinf(value) or isnan(value):
        raise CommandError("ERR", "increment would produce NaN or Infinity")
    return value
