"""Time as the host of the running program sees it: `time` and `datetime`."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from quorate.sim.loop import running_incarnation

BILLION: Final = 1_000_000_000
MILLION: Final = 1_000_000

# The real ones, in a table: a name of this module would be found and replaced like everybody's.
REAL: Final[dict[str, Any]] = {
    name: getattr(time, name)
    for name in (
        "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
        "process_time_ns", "thread_time", "thread_time_ns", "sleep", "gmtime", "localtime", "ctime",
        "asctime", "strftime",
    )
    if hasattr(time, name)
}  # fmt: skip


def wall_ns() -> int | None:
    """Return the wall clock of the running host; None outside every host."""
    incarnation = running_incarnation()
    if incarnation is None:
        return None
    return incarnation.loop.time_ns() + incarnation.host.time.wall_offset_ns


def _wall(name: str, divisor: int) -> Callable[[], float]:
    def read() -> float:
        now = wall_ns()
        if now is None:
            return REAL[name]()  # type: ignore[no-any-return]
        return now if divisor == 1 else now / divisor

    read.__name__ = name
    return read


def _monotonic(name: str, divisor: int) -> Callable[[], float]:
    def read() -> float:
        incarnation = running_incarnation()
        if incarnation is None:
            return REAL[name]()  # type: ignore[no-any-return]
        now = incarnation.loop.time_ns()
        return now if divisor == 1 else now / divisor

    read.__name__ = name
    return read


def _sleep(seconds: float, /) -> None:
    """Block the host, and only it, as a blocking call does."""
    incarnation = running_incarnation()
    if incarnation is None:
        REAL["sleep"](seconds)
        return
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    incarnation.check()
    incarnation.stall(int(seconds * BILLION))


def _of_now(name: str, argument_place: int) -> Callable[..., Any]:
    """Return a function whose last argument, when left out, is this moment."""

    def convert(*args: Any) -> Any:
        now = wall_ns() if len(args) <= argument_place or args[argument_place] is None else None
        if now is None:
            return REAL[name](*args)
        moment = now / BILLION
        if name in {"strftime", "asctime"}:
            return REAL[name](*args[:argument_place], REAL["localtime"](moment))
        return REAL[name](moment)

    convert.__name__ = name
    return convert


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """Yield (module, name, replacement)."""
    yield time, "time", _wall("time", BILLION)
    yield time, "time_ns", _wall("time_ns", 1)
    for name in ("monotonic", "perf_counter", "process_time", "thread_time"):
        if name in REAL:
            yield time, name, _monotonic(name, BILLION)
            yield time, f"{name}_ns", _monotonic(f"{name}_ns", 1)
    yield time, "sleep", _sleep
    for name, place in (("gmtime", 0), ("localtime", 0), ("ctime", 0), ("asctime", 0), ("strftime", 1)):
        yield time, name, _of_now(name, place)


def install(undo: list[Callable[[], None]]) -> None:
    """Let `datetime.now` and `utcnow` ask the host: in the type itself, so that no import escapes."""
    from quorate.sim.foreign.patches import set_in_builtin_type

    kind = dt.datetime
    for name, replacement in (("now", _now_of(vars(kind)["now"])), ("utcnow", _utcnow_of(vars(kind)["utcnow"]))):
        original = vars(kind)[name]
        set_in_builtin_type(kind, name, classmethod(replacement))
        undo.append(lambda name=name, original=original: set_in_builtin_type(kind, name, original))  # type: ignore[misc]


def _now_of(real: Any) -> Callable[..., Any]:
    def now(cls: Any, tz: Any = None) -> Any:
        moment = wall_ns()
        if moment is None:
            return real.__get__(None, cls)(tz)
        return cls.fromtimestamp(moment // BILLION, tz).replace(microsecond=moment % BILLION // 1_000)

    return now


def _utcnow_of(real: Any) -> Callable[..., Any]:
    def utcnow(cls: Any) -> Any:
        moment = wall_ns()
        if moment is None:
            return real.__get__(None, cls)()
        aware = cls.fromtimestamp(moment // BILLION, dt.UTC)
        return aware.replace(microsecond=moment % BILLION // 1_000, tzinfo=None)

    return utcnow
