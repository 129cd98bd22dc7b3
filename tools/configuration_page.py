"""Writes docs/configuration.md from the fields of the configuration and the comments above them.

python tools/configuration_page.py          writes the page
"""

import inspect
import textwrap
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from quorate.server import Config, config, keyspaces

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"

HEAD = """# Configuration

<!-- Written by tools/configuration_page.py from the fields themselves: change them there. -->

One node is described by one TOML file: `quorate serve --config node.toml`. A key that does not exist is refused with
the nearest one that does, and values that contradict each other are refused in one sentence.

```toml
node = 1
data = "/var/lib/quorate"
cluster = "orders"

[listen]
peer = "10.0.0.1:7100"
redis = "10.0.0.1:6380"
http = "127.0.0.1:7180"

[peers]
1 = "10.0.0.1:7100"
2 = "10.0.0.2:7100"
3 = "10.0.0.3:7100"

[redis]
1 = "10.0.0.1:6380"
2 = "10.0.0.2:6380"
3 = "10.0.0.3:6380"
```
"""

TABLES: tuple[type, ...] = (
    config.Listen,
    config.TLS,
    config.Limits,
    config.Timing,
    config.Storage,
    keyspaces.Keyspace,
    keyspaces.Placement,
    keyspaces.Replication,
    keyspaces.Site,
)

SHOWN_BELOW = ("listen", "tls", "limits", "timing", "storage")


def comments_of(kind: type) -> dict[str, str]:
    """Return field → the comment above it; one comment may stand above several fields and belongs to the first."""
    found: dict[str, str] = {}
    words: list[str] = []
    for line in textwrap.dedent(inspect.getsource(kind)).splitlines():
        text = line.strip()
        if text.startswith("# "):
            words.append(text[2:])
            continue
        name, colon, _ = text.partition(":")
        if colon and name.isidentifier() and line.startswith("    ") and not line.startswith("     "):
            found[name] = " ".join(words)
        words = []
    return found


def shown(value: Any) -> str:
    """Return a default as TOML has it, with sizes as a person reads them."""
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case int() if value >= 1 << 20 and value % (1 << 20) == 0:
            return f"`{value}` ({value >> 20} MiB)"
        case str():
            return f'`"{value}"`'
        case dict():
            return "empty"
        case None:
            return "left out"
        case msgspec.Struct():
            return "see below"
        case _:
            return f"`{value}`"


def words_of(hint: Any) -> str:
    """Return a type of several parts in the words of TOML."""
    parts = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) is dict:
        return "table"
    return " or ".join(part.__name__ if isinstance(part, type) else "table" for part in parts)


def table_of(kind: type, *, skipped: tuple[str, ...] = ()) -> list[str]:
    """Return the rows of one table."""
    comments = comments_of(kind)
    rows = ["| Key | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
    for field in msgspec.structs.fields(kind):
        if field.name in skipped:
            continue
        default = (
            "required" if field.required else shown(field.default if field.default is not msgspec.NODEFAULT else {})
        )
        name = field.type.__name__ if isinstance(field.type, type) else words_of(field.type)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            name = "table"
        meaning = comments[field.name].replace("|", "\\|")
        rows.append(f"| `{field.name}` | {name} | {default} | {meaning} |")
    return rows


def page() -> str:
    """Return the page."""
    parts = [HEAD, "## The node\n", *table_of(Config, skipped=SHOWN_BELOW)]
    for kind in TABLES:
        head, _, rest = (kind.__doc__ or "").partition(": ")
        parts += [f"\n## {head}\n", rest[:1].upper() + rest[1:] + "\n", *table_of(kind)]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
