"""Somebody's node as a child process: started, initialised, killed, paused, and never left behind."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from quorate.kernel import errors
from quorate.lab.maelstrom.messages import BadMessage, Message, decode, encode

_LINE_BYTES_MAX: Final = 64 << 20
# Bytes that wait for a node that does not read; what comes on top is lost, as in a full network buffer.
_WAITING_BYTES_MAX: Final = 64 << 20
_PR_SET_PDEATHSIG: Final = 1


class Child:
    """One node's process over all its lives.

    Args:
        name: the node's.
        command: the program and its arguments.
        directory: this node's own: its errors go to `<name>.log`, and the program is told of it as `NODE_DATA`.
        heard: called with each message that it sends.
        failed: called with a sentence when it breaks the protocol, or ends by itself.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        heard: Callable[[Message], None],
        failed: Callable[[str], None],
    ) -> None:
        self.name = name
        self.is_paused = False
        self._command = command
        self._directory = directory
        self._heard = heard
        self._failed = failed
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a process, paused or not."""
        return self._process is not None

    async def start(self) -> None:
        """Start a life. Raise UsageError when the program cannot be started."""
        assert self._process is None, "a node lives once at a time"
        log = self._open_log()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=_LINE_BYTES_MAX,
                start_new_session=True,
                env={**os.environ, "NODE_DATA": str(self._directory)},
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as cause:
            raise errors.UsageError(f"cannot start {self._command[0]}: {cause.strerror}") from cause
        finally:
            os.close(log)
        self._reading = asyncio.create_task(self._read(self._process))

    def send(self, message: Message) -> None:
        """Write a message to its standard input; lost when it is not there or does not read."""
        process = self._process
        if process is None or process.stdin is None or process.stdin.transport.is_closing():
            return
        if process.stdin.transport.get_write_buffer_size() < _WAITING_BYTES_MAX:
            process.stdin.write(encode(message))

    def pause(self) -> None:
        """Stop it where it stands."""
        self._signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self.is_paused = False

    async def kill(self) -> None:
        """End this life without warning; what is not on its disk is gone."""
        process, self._process, self.is_paused = self._process, None, False
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def last_words(self) -> str:
        """Return the end of what it wrote to standard error."""
        path = self._directory / f"{self.name}.log"
        return path.read_text("utf-8", errors="replace")[-2_000:].strip() if path.exists() else ""

    def _open_log(self) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        return os.open(self._directory / f"{self.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None, "it was asked for"
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                self._failed(f"{self.name} wrote a line above {_LINE_BYTES_MAX >> 20} MiB")
                return
            if not line:
                break
            if not line.strip():
                continue
            try:
                message = decode(line)
            except BadMessage as cause:
                words = line[:200].decode("utf-8", "replace").strip()
                self._failed(f"{self.name} wrote to standard output what is no message ({cause}): {words}")
                return
            if message.src != self.name:
                self._failed(f"{self.name} sent a message in the name of {message.src!r}")
                return
            self._heard(message)
        status = await process.wait()
        if self._process is process:
            self._process = None
            self._failed(f"{self.name} ended by itself with status {status}")


def _die_with_parent() -> None:
    """Run in the child before the program: ask Linux to kill it when we are gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
