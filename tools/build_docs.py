"""Build a small static site from the pages of this repository: python tools/build_docs.py [TARGET]."""

import html
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

ROOT: Final = Path(__file__).resolve().parents[1]
TOP_PAGES: Final = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
ASSETS: Final = (".png", ".svg")

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2433; --paper: #fdfdfc; --soft: #69728a; --line: #dfe3ea; --code: #f3f4f7;
  --link: #2453c9 }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7ef; --paper: #14171d; --soft: #98a1b5; --line: #2c323d;
  --code: #1d2129; --link: #8fb0ff } }
* { box-sizing: border-box }
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui, sans-serif; display: flex }
nav { width: 16rem; flex: none; padding: 1.5rem 1rem; border-right: 1px solid var(--line); font-size: .9rem;
  height: 100vh; overflow: auto; position: sticky; top: 0 }
nav h2 { font-size: .8rem; text-transform: uppercase; letter-spacing: .05em; color: var(--soft);
  margin: 1.2rem 0 .3rem }
nav a { display: block; padding: .1rem 0; color: inherit }
nav a[aria-current] { font-weight: 600; color: var(--link) }
main { max-width: 54rem; min-width: 0; flex: 1; padding: 1.5rem 2.5rem 5rem }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
h1, h2, h3 { line-height: 1.25 } h2 { margin-top: 2.2rem }
pre, code { font: .86em/1.45 ui-monospace, monospace; background: var(--code); border-radius: 4px }
code { padding: .1em .3em } pre { padding: .9rem 1rem; overflow-x: auto } pre code { padding: 0 }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: .93rem }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem; border-bottom: 1px solid var(--line) }
img { max-width: 100%; border: 1px solid var(--line); border-radius: 6px }
@media (max-width: 50rem) { body { display: block } nav { width: auto; height: auto; position: static; border: 0 }
  main { padding: 1rem } }
"""


def pages(root: Path = ROOT) -> list[Path]:
    """Return all pages, those at the top first, then docs/ in order of paths."""
    top = [root / name for name in TOP_PAGES if (root / name).exists()]
    return [*top, *sorted((root / "docs").rglob("*.md"))]


def slug(heading: str) -> str:
    """Return the anchor of a heading, as the usual hosts of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def plain(token: Token) -> str:
    """Return the words of an inline token."""
    return "".join(child.content for child in token.children or [] if child.type in {"text", "code_inline"})


def parse(text: str) -> list[Token]:
    """Return the tokens of a page; headings carry their anchors, a repeated one with a number behind it."""
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)
    seen: dict[str, int] = {}
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            anchor = slug(plain(tokens[place + 1]))
            count = seen[anchor] = seen.get(anchor, -1) + 1
            token.attrSet("id", f"{anchor}-{count}" if count else anchor)
    return tokens


def anchors(tokens: Sequence[Token]) -> list[str]:
    """Return the anchors of a page."""
    return [str(token.attrGet("id")) for token in tokens if token.type == "heading_open"]


def links(tokens: Sequence[Token]) -> list[str]:
    """Return the targets of all links and images of a page, in order."""
    found: list[str] = []
    for token in tokens:
        for child in token.children or []:
            target = child.attrGet("href") if child.type == "link_open" else child.attrGet("src")
            if target:
                found.append(str(target))
    return found


def is_outside(target: str) -> bool:
    """Return whether a link leaves the repository."""
    return re.match(r"[a-z]+:", target) is not None


def broken_links(root: Path = ROOT) -> list[str]:
    """Return "page: target" for every link to a file or heading that does not exist; links to outside are not tried."""
    found: list[str] = []
    for page in pages(root):
        for target in links(parse(page.read_text(encoding="utf-8"))):
            if is_outside(target):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if not file.exists():
                found.append(f"{page.relative_to(root)}: {target}")
            elif anchor and file.suffix == ".md" and anchor not in anchors(parse(file.read_text(encoding="utf-8"))):
                found.append(f"{page.relative_to(root)}: {target} (no such heading)")
    return found


def title_of(tokens: Sequence[Token], page: Path) -> str:
    """Return the first heading of a page."""
    return next((plain(tokens[i + 1]) for i, token in enumerate(tokens) if token.type == "heading_open"), page.stem)


def output_of(page: Path, root: Path = ROOT) -> Path:
    """Return where a page goes, relative to the target: `README.md` of the repository is the front page."""
    path = page.relative_to(root)
    path = Path(*path.parts[1:]) if path.parts[0] == "docs" else path
    if path == Path("README.md"):
        return Path("index.html")
    if path == Path("index.md"):
        return Path("pages.html")
    return path.with_suffix(".html")


def up_to(page: Path, target: Path) -> str:
    """Return the way from one page of the site to another."""
    return "../" * (len(page.parts) - 1) + target.as_posix()


def redirect(tokens: Sequence[Token], page: Path, root: Path) -> None:
    """Let links between pages lead to what the pages become; a file that is no page is named and not linked."""
    known = {file.resolve(): output_of(file, root) for file in pages(root)}
    for token in tokens:
        for child in token.children or []:
            kind = "href" if child.type == "link_open" else "src"
            target = str(child.attrGet(kind) or "")
            if not target or is_outside(target) or target.startswith("#"):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve()
            if file in known:
                child.attrSet(kind, up_to(output_of(page, root), known[file]) + (f"#{anchor}" if anchor else ""))
            elif file.suffix in ASSETS:
                child.attrSet(kind, up_to(output_of(page, root), file.relative_to(root / "docs")))
            else:
                child.attrs.pop(kind)


def navigation(current: Path, titles: dict[Path, str], root: Path) -> str:
    """Return the list of all pages, by folder."""
    lines: list[str] = []
    folder = ""
    for page, title in titles.items():
        path = output_of(page, root)
        if path.parent.as_posix() not in {folder, "."}:
            folder = path.parent.as_posix()
            lines.append(f"<h2>{html.escape(folder.replace('parts/', ''))}</h2>")
        here = ' aria-current="page"' if page == current else ""
        lines.append(f'<a href="{up_to(output_of(current, root), path)}"{here}>{html.escape(title)}</a>')
    return "\n".join(lines)


def build(target: Path, root: Path = ROOT) -> int:
    """Write the site; return the number of pages."""
    parsed = {page: parse(page.read_text(encoding="utf-8")) for page in pages(root)}
    ordered = sorted(parsed, key=lambda page: (len(output_of(page, root).parts) > 1, output_of(page, root).parent))
    titles = {page: title_of(parsed[page], page) for page in ordered}
    renderer = RendererHTML()
    options = MarkdownIt("commonmark").options
    for page, tokens in parsed.items():
        redirect(tokens, page, root)
        file = target / output_of(page, root)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(titles[page])} · Quorate</title>\n<style>{STYLE}</style>\n"
            f"<nav>\n{navigation(page, titles, root)}\n</nav>\n"
            f"<main>\n{renderer.render(tokens, options, {})}</main>\n</html>\n",
            encoding="utf-8",
        )
    for asset in sorted(file for file in (root / "docs").rglob("*") if file.suffix in ASSETS):
        place = target / asset.relative_to(root / "docs")
        place.parent.mkdir(parents=True, exist_ok=True)
        copyfile(asset, place)
    return len(parsed)


def main(args: Sequence[str]) -> int:
    """Check the links, then build; return the exit status."""
    broken = broken_links()
    for line in broken:
        print(f"broken link in {line}", file=sys.stderr)
    target = Path(args[0]) if args else ROOT / "out" / "docs"
    print(f"{build(target)} pages in {target}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
