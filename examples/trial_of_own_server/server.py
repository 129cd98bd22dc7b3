"""A small server, as one might write it: keys and numbers over TCP, a line for each request, kept in a log file.

    GET key | SET key number | CAS key expected number | ADD key   →   a number, "nil", "yes", "no"

With --careless it answers before the log has the line. Nobody notices until it is killed.
"""

import argparse
import asyncio
from pathlib import Path


class Store:
    """All keys, and the file that outlives the process."""

    def __init__(self, path: Path, *, is_careless: bool) -> None:
        self.values: dict[str, int] = {}
        for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
            if line.endswith("\n"):  # a last line without an end was never answered
                key, number = line.split()
                self.values[key] = int(number)
        # Carelessly, lines wait in this process for their 64 KiB to be full.
        self._file = path.open("a", buffering=65_536 if is_careless else 1)

    def put(self, key: str, number: int) -> None:
        """Set a key, in the file first."""
        self._file.write(f"{key} {number}\n")
        self.values[key] = number

    def answer(self, words: list[str]) -> str:
        """Do what a request says; one at a time, because nothing here waits."""
        match words:
            case ["GET", key]:
                return str(self.values.get(key, "nil"))
            case ["SET", key, number]:
                self.put(key, int(number))
                return "yes"
            case ["CAS", key, expected, number]:
                if self.values.get(key) != int(expected):
                    return "no"
                self.put(key, int(number))
                return "yes"
            case ["ADD", key]:
                self.put(key, self.values.get(key, 0) + 1)
                return str(self.values[key])
            case _:
                return "what?"


async def main() -> None:
    """Serve until killed."""
    options = argparse.ArgumentParser()
    options.add_argument("port", type=int)
    options.add_argument("log", type=Path)
    options.add_argument("--careless", action="store_true")
    given = options.parse_args()
    store = Store(given.log, is_careless=given.careless)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(f"{store.answer(line.decode().split())}\n".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", given.port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
