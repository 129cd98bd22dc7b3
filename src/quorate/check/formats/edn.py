"""EDN, the notation that Jepsen, Knossos and Maelstrom write their histories in, as plain values and back.

Keywords and symbols become text, lists and vectors and sets become lists, maps become dicts, tags are dropped and their
values kept. That loses what JSON has no word for, and nothing that a history means.

Source: the EDN format description (edn-format).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from quorate.check.history import BadHistory, Value

DEPTH_MAX: Final = 200

# Characters that are read at once.
_CHUNK: Final = 1 << 16

_TOKEN: Final = re.compile(
    r"""(?P<space>[\s,]+|;[^\n]*)
    |(?P<open>\#\{|[\[({])
    |(?P<close>[\])}])
    |(?P<discard>\#_)
    |(?P<tag>\#[^\s,\[\](){}"]+)
    |(?P<text>"(?:[^"\\]|\\.)*")
    |(?P<character>\\(?:newline|return|space|tab|u[0-9a-fA-F]{4}|.))
    |(?P<atom>[^\s,\[\](){}"\\]+)""",
    re.VERBOSE | re.DOTALL,
)
# A map of names and plain values on one line, as most events are: taken at once, which is four times as fast.
_PLAIN: Final = r"""[ ,]*:([A-Za-z][\w-]*)[ ,]+(:?[\w.+-]+|"[^"\\\n]*")(?=[ ,}])"""
_FLAT: Final = re.compile(r"\{(?:" + _PLAIN + r")*[ ,]*\}")
_PAIR: Final = re.compile(_PLAIN)
_CLOSING: Final = {"[": "]", "(": ")", "{": "}", "#{": "}"}
_CONSTANTS: Final[dict[str, Value]] = {"nil": None, "true": True, "false": False}
_CHARACTERS: Final = {"newline": "\n", "return": "\r", "space": " ", "tab": "\t"}
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_INTEGER: Final = re.compile(r"[+-]?\d+N?")
_FLOAT: Final = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?M?")


def parse_edn(text: str | Iterable[str], *, is_opened: bool = False) -> Iterator[tuple[int, Value]]:
    """Yield each value in a text with the number of the line where it begins.

    Args:
        text: whole, or line by line, each with its end; then only what is being read is held.
        is_opened: of a vector or list that is no part of another, yield the items instead.

    Raises:
        BadHistory: with the line of the first fault; of what is never closed, the line where it was opened.

    Complexity: O(length of the text).
    """
    reader = _Reader(iter((text,) if isinstance(text, str) else text))
    while reader.has_more():
        line = reader.line
        if not is_opened or reader.text[reader.place] not in "[(":
            yield line, reader.value(0)
            continue
        opening = reader.take()
        while reader.has_item(opening, line):
            at = reader.line
            yield at, reader.value(1)


class _Reader:
    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.text = ""
        self.place = 0
        self.line = 1
        # The token that `has_more` found, not taken yet.
        self.found: re.Match[str] | None = None

    def _refill(self) -> bool:
        """Put more lines behind what is not read yet: as much again, so that long texts are not copied for each."""
        rest = self.text[self.place :]
        wanted = max(_CHUNK, len(rest))
        more: list[str] = []
        for line in self.lines:
            more.append(line)
            wanted -= len(line)
            if wanted <= 0:
                break
        self.text, self.place = rest + "".join(more), 0
        return bool(more)

    def has_more(self) -> bool:
        while self.place < len(self.text) or self._refill():
            match = _TOKEN.match(self.text, self.place)
            if match is None:
                if self.text[self.place] != '"':
                    raise self.fault(f"what begins with {self.text[self.place : self.place + 10]!r} is not EDN")
                # Only text in quotation marks goes on over the end of a line.
                if not self._refill():
                    raise self.fault("the file ends within a text in quotation marks that begins here")
            elif match.lastgroup == "discard":
                self.place = match.end()
                self.value(0)
            elif match.lastgroup == "space":
                self._take(match)
            else:
                self.found = match
                return True
        return False

    def fault(self, sentence: str) -> BadHistory:
        return BadHistory(sentence, line=self.line)

    def _take(self, match: re.Match[str]) -> None:
        word = match.group()
        if "\n" in word:
            self.line += word.count("\n")
        self.place = match.end()

    def take(self) -> str:
        """Take the token that `has_more` found."""
        match = self.found
        assert match is not None, "has_more looked"
        self._take(match)
        return match.group()

    def has_item(self, opening: str, line: int) -> bool:
        """Say whether a collection goes on; take its end."""
        if not self.has_more():
            raise BadHistory(f"{opening} is never closed: the file ends within it", line=line)
        closing = self.text[self.place]
        if closing not in "])}":
            return True
        if closing != _CLOSING[opening]:
            raise self.fault(f"{opening} is closed by {closing}")
        self.place += 1
        return False

    def value(self, depth: int) -> Value:
        if depth > DEPTH_MAX:
            raise self.fault(f"values are nested deeper than {DEPTH_MAX}")
        if not self.has_more():
            raise self.fault("the text ends within a value")
        match = self.found
        assert match is not None, "has_more looked"
        self._take(match)
        word = match.group()
        match match.lastgroup:
            case "open":
                flat = _FLAT.match(self.text, match.start()) if word == "{" else None
                if flat is None:
                    return self._collection(word, depth)
                self.place = flat.end()
                pairs = _PAIR.findall(self.text, flat.start() + 1, flat.end())
                return {key: value[1:-1] if value[0] == '"' else _atom(value) for key, value in pairs}
            case "close":
                raise self.fault(f"{word} closes nothing")
            case "tag":
                return self.value(depth + 1)
            case "text":
                return _ESCAPE.sub(_unescape, word[1:-1])
            case "character":
                name = word[1:]
                return chr(int(name[1:], 16)) if len(name) == 5 and name[0] == "u" else _CHARACTERS.get(name, name)
            case _:
                return _atom(word)

    def _collection(self, opening: str, depth: int) -> Value:
        items: list[Value] = []
        line = self.line
        while self.has_item(opening, line):
            items.append(self.value(depth + 1))
        if opening != "{":
            return items
        if len(items) % 2:
            raise self.fault("a map has a key without a value")
        return {_name(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _name(key: Value) -> str:
    return key if isinstance(key, str) else format_edn(key)


def _unescape(match: re.Match[str]) -> str:
    name = match.group(1)
    return chr(int(name[1:], 16)) if len(name) == 5 else _ESCAPES.get(name, name)


def _atom(word: str) -> Value:
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    if _INTEGER.fullmatch(word):
        return int(word.rstrip("N"))
    if _FLOAT.fullmatch(word):
        return float(word.rstrip("M"))
    return word.removeprefix(":")


def format_edn(value: Value) -> str:
    """Return a plain value as EDN; keys of maps become keywords where they can.

    Complexity: O(size of the value).
    """
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        case bytes():
            return "[" + " ".join(str(byte) for byte in value) + "]"
        case list() | tuple():
            return "[" + " ".join(format_edn(item) for item in value) + "]"
        case dict():
            pairs = (f"{keyword(str(name))} {format_edn(item)}" for name, item in value.items())
            return "{" + ", ".join(pairs) + "}"
        case _:
            raise BadHistory(f"a {type(value).__name__} has no form in EDN: {value!r}")


def keyword(name: str) -> str:
    """Return a name as a keyword, or as text if it cannot be one."""
    return f":{name}" if re.fullmatch(r"[A-Za-z*!?_$%&=<>.+-][\w*!?$%&=<>.+#-]*", name) else format_edn(name)
