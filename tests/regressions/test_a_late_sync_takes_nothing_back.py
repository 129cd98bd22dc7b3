"""A slow sync that a dead process had begun does not undo what its successor has synced since."""

from quorate.sim import DiskPolicy, SimDisk, World


def test_a_sync_that_ends_late_does_not_undo_a_newer_one() -> None:
    """Found by a campaign: a power cut then lost what had been called stable."""
    disk = SimDisk(World(1).choices.stream("disk"), policy=DiskPolicy())
    inode = disk.open("log", create=True)
    disk.sync_names()
    disk.write("log", inode, 0, b"old")
    slow = disk.snapshot(inode)
    disk.write("log", inode, 3, b" and new")
    disk.finish_sync("log", inode, disk.snapshot(inode))

    disk.finish_sync("log", inode, slow)
    disk.power_cut()

    assert disk.read("log", disk.open("log", create=False), 0, 100) == b"old and new"
