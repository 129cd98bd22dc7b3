"""Plain objects whose place in a set is a birth number, not their address.

A class of Python without `__eq__` and `__hash__` of its own hashes by address, so the order of a set of its instances
changes from process to process. Classes made while this is in force hash by a number given at the first asking. It
works for classes that are made after it began: inside a run (a script's), or from `serial_hashes()` on.
"""

import builtins
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from quorate.sim.loop import running_incarnation

REAL: Final[dict[str, Any]] = {"build": builtins.__build_class__}
# Far from the birth numbers of tasks; objects that are hashed outside a world count on their own.
_outside = itertools.count(1 << 40)
_NAME: Final = "_quorate_birth"
_is_everywhere = [False]


def _serial_hash(self: Any) -> int:
    space = self.__dict__
    number = space.get(_NAME)
    if number is None:
        incarnation = running_incarnation()
        number = next(_outside) if incarnation is None else incarnation.host.world.scheduler.birth()
        space[_NAME] = number
    return number  # type: ignore[no-any-return]


def _build(function: Any, name: str, *bases: Any, **keywords: Any) -> Any:
    made = REAL["build"](function, name, *bases, **keywords)
    # Only what hashes by address, keeps its attributes in a dict, and is not itself a kind of class.
    if (
        isinstance(made, type)
        and not issubclass(made, type)
        and made.__hash__ is object.__hash__
        and made.__eq__ is object.__eq__
        and getattr(made, "__dictoffset__", None)
    ):
        made.__hash__ = _serial_hash  # type: ignore[method-assign]
    return made


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """Yield (module, name, replacement)."""
    yield builtins, "__build_class__", _build_on_hosts


def _build_on_hosts(function: Any, name: str, *bases: Any, **keywords: Any) -> Any:
    build: Callable[..., Any] = REAL["build"] if running_incarnation() is None and not _is_everywhere[0] else _build
    return build(function, name, *bases, **keywords)


@contextmanager
def serial_hashes() -> Iterator[None]:
    """Give all classes that are made within (import the program here) hashes by birth."""
    before = builtins.__build_class__
    builtins.__build_class__ = _build  # type: ignore[assignment]
    _is_everywhere[0] = True
    try:
        yield
    finally:
        _is_everywhere[0] = False
        builtins.__build_class__ = before
