"""Puts the replacements in place while a world runs, and takes them out again.

A function may also be held under names that were imported earlier (`from time import monotonic`) or as the default of
an argument: those are found by identity in the modules that are loaded. What hides in a closure, in an instance or
in compiled code is not found.
"""

import ctypes
import gc
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from quorate.sim.foreign import chance, ciphers, clocks, files, refusals, serial

# Modules of the interpreter itself, which must keep the real functions.
_UNTOUCHED: Final = frozenset(
    {"posix", "nt", "_io", "_thread", "_socket", "_random", "_posixsubprocess", "_frozen_importlib",
     "_frozen_importlib_external", "importlib._bootstrap", "importlib._bootstrap_external"}
)  # fmt: skip

_depth = [0]
_undo: list[Callable[[], None]] = []


@contextmanager
def patched() -> Iterator[None]:
    """Let programs on hosts see their host's clocks, chance, files and sockets; nests."""
    _depth[0] += 1
    try:
        if _depth[0] == 1:
            _install()
        yield
    finally:
        _depth[0] -= 1
        if _depth[0] == 0:
            while _undo:
                _undo.pop()()


def _install() -> None:
    replacements: dict[int, tuple[Any, Any]] = {}
    for room in (clocks, chance, files, refusals, serial):
        for holder, name, replacement in room.replacements():
            original = getattr(holder, name)
            replacements[id(original)] = (original, replacement)
            _set(holder, name, replacement)
    _rebind(replacements)
    # Modules that were imported meanwhile hold the replacements under their own names.
    back = {id(replacement): (replacement, original) for original, replacement in replacements.values()}
    _undo.append(lambda: _rebind(back))
    clocks.install(_undo)
    refusals.install(_undo)
    ciphers.install(_undo)


def _set(holder: Any, name: str, replacement: Any) -> None:
    original = getattr(holder, name)
    setattr(holder, name, replacement)
    _undo.append(lambda: setattr(holder, name, original))


def _rebind(table: dict[int, tuple[Any, Any]]) -> None:
    """Replace by identity in all modules, their classes and the defaults of their functions. Complexity: O(names)."""
    for module_name, module in list(sys.modules.items()):
        # Our own rooms hold the replacements under their own names.
        if module_name in _UNTOUCHED or module_name.startswith(__package__) or not isinstance(module, types.ModuleType):
            continue
        space = vars(module)
        for name, value in list(space.items()):
            found = table.get(id(value))
            if found is not None:
                space[name] = found[1]
            elif type(value) is types.FunctionType:
                _rebind_defaults(value, table)
            elif isinstance(value, type) and value.__module__ == module_name:
                _rebind_class(value, table)


def _rebind_class(kind: type, table: dict[int, tuple[Any, Any]]) -> None:
    for name, value in list(vars(kind).items()):
        if type(value) is types.FunctionType:
            _rebind_defaults(value, table)
        elif id(value) in table:
            # A builtin in a class is no method; a function of Python must be told not to be one.
            new = table[id(value)][1]
            setattr(kind, name, staticmethod(new) if isinstance(new, types.FunctionType) else new)
        elif type(value) is staticmethod and id(value.__func__) in table:
            new = table[id(value.__func__)][1]
            setattr(kind, name, staticmethod(new) if isinstance(vars(kind)[name], staticmethod) else new)


def _rebind_defaults(function: types.FunctionType, table: dict[int, tuple[Any, Any]]) -> None:
    defaults = function.__defaults__
    if defaults and any(id(value) in table for value in defaults):
        function.__defaults__ = tuple(table[id(value)][1] if id(value) in table else value for value in defaults)
    keywords = function.__kwdefaults__ or {}
    for name, value in keywords.items():
        if id(value) in table:
            keywords[name] = table[id(value)][1]


def set_in_builtin_type(kind: type, name: str, value: Any) -> None:
    """Write into the namespace of a type that is made in C, so that every holder of the type sees it."""
    space: Any = gc.get_referents(vars(kind))[0]
    space[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))
