"""INCRBYFLOAT's arithmetic: Redis adds in C's `long double`, which is 80 bits wide on the usual machines.

Done here with exact fractions rounded to a 64-bit mantissa, so that every replica gets the same digits on any machine.
"""

import re
from fractions import Fraction
from typing import Final

from quorate.store.reply import CommandError

_MANTISSA_BITS: Final = 64
_NUMBER: Final = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?\Z")
_INFINITE: Final = (b"inf", b"infinity")
# Digits in front of the point; above lies infinity.
_MAGNITUDE_MAX: Final = Fraction(2) ** 16384


def extended(
    text: bytes,
    error: str = "value is not a valid float",
    infinite: str = "increment would produce NaN or Infinity",
) -> Fraction:
    """Return a number as a long double holds it; raise CommandError with one of the given sentences.

    Complexity: O(length of the text and of the exponent's digits); both are bounded.
    """
    if len(text) <= 256:
        if text.lower().lstrip(b"+-") in _INFINITE:
            raise CommandError("ERR", infinite)
        if _NUMBER.match(text):
            value = rounded(Fraction(text.decode("ascii")))
            if abs(value) < _MAGNITUDE_MAX:
                return value
    raise CommandError("ERR", error)


def rounded(value: Fraction) -> Fraction:
    """Return the nearest number with a 64-bit mantissa; ties go to the even one."""
    if not value:
        return value
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length() - _MANTISSA_BITS
    scaled = value / Fraction(2) ** exponent
    # The estimate of the exponent may be one too small: the mantissa must stay below 2**64.
    if abs(scaled) >= 1 << _MANTISSA_BITS:
        exponent += 1
        scaled /= 2
    return round(scaled) * Fraction(2) ** exponent


def add(left: Fraction, right: Fraction) -> Fraction:
    """Return the sum of two long doubles; raise CommandError when it is infinite."""
    total = rounded(left + right)
    if abs(total) >= _MAGNITUDE_MAX:
        raise CommandError("ERR", "increment would produce NaN or Infinity")
    return total


def printed(value: Fraction) -> bytes:
    """Return a number with at most 17 digits behind the point and no zeros at the end.

    Example:
        >>> printed(add(extended(b"10.5"), extended(b"0.1")))
        b'10.6'
    """
    units = round(value * 10**17)
    whole, part = divmod(abs(units), 10**17)
    digits = f"{whole}.{part:017d}".rstrip("0").rstrip(".")
    return (f"-{digits}" if units < 0 else digits).encode()
