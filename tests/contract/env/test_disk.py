"""Files: what programs observe while nothing breaks is the same in every world."""

from typing import Any

from quorate.env import Disk, Env


def run(lab: Any, program: Any) -> Any:
    """Run a program that needs only a disk."""

    async def main(env: Env) -> Any:
        return await program(env.disk)

    return lab.run(a=main)["a"]


def test_what_was_written_is_read(lab: Any) -> None:
    """Before and after sync, and after opening again."""

    async def program(disk: Disk) -> Any:
        file = disk.open("log", create=True)
        file.write(0, b"hello ")
        file.write(6, b"world")
        seen = [file.read(0, 100), file.size_bytes()]
        await file.sync()
        file.write(0, b"J")
        file.sync_now()
        disk.sync_names()
        file.close()
        again = disk.open("log")
        seen += [again.read(0, 5), again.read(6, 2), again.read(11, 5), again.read(100, 5)]
        again.close()
        return seen

    assert run(lab, program) == [b"hello world", 11, b"Jello", b"wo", b"", b""]


def test_truncate_cuts(lab: Any) -> None:
    """And what is written next begins there."""

    async def program(disk: Disk) -> Any:
        file = disk.open("log", create=True)
        file.write(0, bytes(range(100)))
        file.truncate(3)
        size = file.size_bytes()
        file.write(3, b"end")
        data = file.read(0, 100)
        file.close()
        return size, data

    assert run(lab, program) == (3, b"\x00\x01\x02end")


def test_names_are_listed_renamed_and_removed(lab: Any) -> None:
    """Sorted, by prefix; a rename replaces; directories are part of names."""

    async def program(disk: Disk) -> Any:
        for name in ("b", "a", "logs/2", "logs/1"):
            file = disk.open(name, create=True)
            file.write(0, name.encode())
            file.close()
        first = (disk.names(), disk.names("logs/"))
        disk.rename("a", "b")
        disk.remove("logs/1")
        disk.sync_names()
        file = disk.open("b")
        content = file.read(0, 10)
        file.close()
        return first, disk.names(), content

    first, after, content = run(lab, program)
    assert first == (["a", "b", "logs/1", "logs/2"], ["logs/1", "logs/2"])
    assert after == ["b", "logs/2"]
    assert content == b"a"


def test_what_is_absent_is_not_found(lab: Any) -> None:
    """Opening, renaming and removing alike."""

    async def program(disk: Disk) -> Any:
        outcomes = []
        for attempt in (lambda: disk.open("x"), lambda: disk.rename("x", "y"), lambda: disk.remove("x")):
            try:
                attempt()
            except FileNotFoundError:
                outcomes.append("absent")
        return outcomes

    assert run(lab, program) == ["absent"] * 3


def test_an_open_file_outlives_its_name(lab: Any) -> None:
    """As POSIX has it."""

    async def program(disk: Disk) -> Any:
        file = disk.open("x", create=True)
        file.write(0, b"kept")
        disk.remove("x")
        data = file.read(0, 10)
        file.close()
        return data, disk.names(), disk.free_bytes() > 0

    assert run(lab, program) == (b"kept", [], True)
