"""Runs a script inside a host, as it is: `asyncio.run(main())` gives its coroutine to the host that runs already.

Where the call stands outside of functions, it is awaited in its place, so what follows it, handles its errors or uses
its result is the script's. Inside of a function that is not a coroutine nobody can wait: there the call ends the
script, and its coroutine is what goes on. Most programs that have it there have it last.
"""

import ast
import asyncio
import inspect
import sys
import types
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from quorate.sim.failures import ScriptFailed

_AWAITED: Final = "__quorate_run__"


class _Handed(BaseException):
    """Leaves a script at its `asyncio.run`, with what the script wanted to run. No `except Exception` catches it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__()
        self.coroutine = coroutine


class _Runner:
    """In place of `asyncio.Runner`."""

    def __init__(self, **_: Any) -> None:
        """Take any option: debug mode and loops are the world's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the host goes on."""

    def run(self, coro: Coroutine[Any, Any, Any], **_: Any) -> NoReturn:
        """Hand the coroutine over."""
        raise _Handed(coro)


def _run(main: Coroutine[Any, Any, Any], **_: Any) -> NoReturn:
    raise _Handed(main)


class _Awaiting(ast.NodeTransformer):
    """Turns `asyncio.run(x)` outside of functions into `await __quorate_run__(x)`."""

    def __init__(self, tree: ast.Module) -> None:
        # Under which names the script has the function itself.
        self.names = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "asyncio"
            for alias in node.names
            if alias.name == "run"
        }

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace a call of `asyncio.run`."""
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(value=ast.Name(id="asyncio"), attr="run"):
                pass
            case ast.Name(id=name) if name in self.names:
                pass
            case _:
                return node
        call = ast.Call(ast.Name(_AWAITED, ast.Load()), node.args, node.keywords)
        return ast.fix_missing_locations(ast.copy_location(ast.Await(call), node))

    def _leave(self, node: ast.AST) -> ast.AST:
        """Leave alone what runs at another time, or where nothing can be awaited."""
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = _leave  # noqa: N815
    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _leave  # noqa: N815


class _Script:
    """One script on its way. What is global to the process is the script's only while its own lines run."""

    def __init__(self, path: str, argv: Sequence[str]) -> None:
        self.path = path
        self.argv = [path, *argv]
        self.module = types.ModuleType("__main__")
        vars(self.module).update({"__file__": path, _AWAITED: self.run})
        self.saved: list[tuple[Any, str, Any]] = []
        self.has_result = False
        self.result: Any = None

    def enter(self) -> None:
        replaced: list[tuple[Any, str, Any]] = [
            (asyncio, "run", _run), (asyncio, "Runner", _Runner), (sys, "argv", self.argv)
        ]  # fmt: skip
        self.saved = [(holder, name, getattr(holder, name)) for holder, name, _ in replaced]
        for holder, name, value in replaced:
            setattr(holder, name, value)
        self.main_before = sys.modules["__main__"]
        sys.modules["__main__"] = self.module
        # As Python does for a script: its own directory is looked in first.
        self.directory = str(Path(self.path).parent)
        sys.path.insert(0, self.directory)

    def leave(self) -> None:
        for holder, name, value in self.saved:
            setattr(holder, name, value)
        sys.modules["__main__"] = self.main_before
        if self.directory in sys.path:
            sys.path.remove(self.directory)

    async def run(self, main: Coroutine[Any, Any, Any], **_: Any) -> Any:
        """Await what the script gave to `asyncio.run`, as a task of its own, so that cancelling it is not ours."""
        self.leave()
        try:
            self.result = await asyncio.ensure_future(main)
            self.has_result = True
            return self.result
        finally:
            self.enter()

    async def play(self) -> None:
        """Run all lines of the script."""
        source = Path(self.path).read_bytes()  # noqa: ASYNC240  no loop of the real world waits for it
        tree = ast.parse(source, self.path)
        tree = ast.fix_missing_locations(_Awaiting(tree).visit(tree))
        code = compile(tree, self.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        handed: Coroutine[Any, Any, Any] | None = None
        self.enter()
        try:
            if code.co_flags & inspect.CO_COROUTINE:
                make: Callable[[], Coroutine[Any, Any, Any]] = types.FunctionType(code, vars(self.module))
                await make()
            else:
                exec(code, vars(self.module))
        except _Handed as end:
            handed = end.coroutine
        except SystemExit as end:
            if end.code not in {None, 0}:
                raise ScriptFailed(f"{self.path} ended with exit status {end.code}") from end
        finally:
            self.leave()
        if handed is not None:
            self.result, self.has_result = await handed, True


async def run_script(path: str, argv: Sequence[str] = ()) -> Any:
    """Run a file as `__main__`; return the result of its last `asyncio.run`, or without one the script's names.

    `sys.argv`, `sys.modules["__main__"]` and the first place of `sys.path` are the script's while its own lines run,
    not while its coroutines do: hosts share them.

    Raises:
        ScriptFailed: it called `sys.exit` with another status than 0.
        Exception: what the script raised.
    """
    script = _Script(path, argv)
    await script.play()
    return script.result if script.has_result else vars(script.module)
