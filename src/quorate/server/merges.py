"""[merges]: functions of the user that make one value of several concurrent ones."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType

from quorate.kernel.errors import ConfigError
from quorate.protocols.leaderless import MERGES, MergeFunction


def load_merges(declared: Mapping[str, str]) -> Mapping[str, MergeFunction]:
    """Return the built-in functions and the declared ones, which are imported.

    Args:
        declared: name → module:function. It gets a tuple of bytes, ascending, and returns bytes; it must be pure and
            the same on every node.

    Raises:
        ConfigError: a module or function cannot be had.
    """
    found: dict[str, MergeFunction] = dict(MERGES)
    for name, text in sorted(declared.items()):
        module, _, function = text.partition(":")
        try:
            taken = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as cause:
            raise ConfigError(f"merges.{name}: {text} cannot be imported: {cause}") from cause
        if not callable(taken):
            raise ConfigError(f"merges.{name}: {text} is no function")
        found[name] = taken
    return MappingProxyType(found)
