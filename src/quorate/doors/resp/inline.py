"""Splits a line that a person typed into words, with quotes and escapes as Redis reads them."""

from typing import Final

_SPACES: Final = b" \n\r\t\x0b\x0c"
_ESCAPES: Final = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_HEX: Final = b"0123456789abcdefABCDEF"


def split_inline(line: bytes) -> list[bytes] | None:
    r"""Return the words of a line, or None when its quotes do not balance.

    Inside double quotes `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH` stand for single bytes and any other escaped byte for
    itself; inside single quotes only `\'` is special. A closing quote must end its word.

    Complexity: O(len(line)).

    Example:
        >>> split_inline(b'set "a b" \\'c\\'')
        [b'set', b'a b', b'c']
    """
    if b'"' not in line and b"'" not in line:
        # A byte of zero ends a line for Redis' string functions; nobody types one.
        return line.split()
    words: list[bytes] = []
    offset = 0
    while True:
        while offset < len(line) and line[offset] in _SPACES:
            offset += 1
        if offset == len(line):
            return words
        word = bytearray()
        while offset < len(line) and line[offset] not in _SPACES:
            byte = line[offset]
            if byte not in b"\"'":
                word.append(byte)
                offset += 1
                continue
            end = _read_quoted(line, offset, word)
            if end is None or (end < len(line) and line[end] not in _SPACES):
                return None
            offset = end
        words.append(bytes(word))


def _read_quoted(line: bytes, offset: int, word: bytearray) -> int | None:
    """Append a quoted part to a word; return the offset behind its closing quote, None when there is none."""
    quote = line[offset]
    offset += 1
    while offset < len(line):
        byte = line[offset]
        if byte == quote:
            return offset + 1
        if byte == ord("\\") and offset + 1 < len(line):
            if quote == ord('"'):
                byte, offset = _read_escape(line, offset)
            elif line[offset + 1] == quote:
                byte = quote
                offset += 1
        word.append(byte)
        offset += 1
    return None


def _read_escape(line: bytes, offset: int) -> tuple[int, int]:
    """Return the byte that an escape stands for and the offset of its last byte."""
    letter = line[offset + 1]
    digits = line[offset + 2 : offset + 4]
    if letter == ord("x") and len(digits) == 2 and digits[0] in _HEX and digits[1] in _HEX:
        return int(digits, 16), offset + 3
    return _ESCAPES.get(letter, letter), offset + 1
