"""A worker on a file system that is really full, not one whose system calls are made to say so (threat 33)."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.support.mounts import Mounted
from tests.support.processes import Node, free_port, nodes, wait_until

SMALL_DISK = 'mount -t tmpfs -o size=24m none "$0" && mkdir "$0/tree" && head -c 16M /dev/zero >"$0/ballast"'
LARGE = 12 << 20
"""More than is left of the 24 MiB while the ballast is there."""
ALARM_S = 120.0
"""A disk that is full for 30 s is worth an alarm; this is far more."""


def staged(worker: Mounted) -> set[Path]:
    """What lies beside the tree: new files while they are gathered, the journal of the last apply."""
    return set((worker.seen / ".outrider/stage").rglob("*"))


def test_threat_33_a_full_disk_keeps_the_old_tree_and_alarms_once_and_with_room_it_goes_on_at_once(
    tmp_path: Path,
) -> None:
    port = free_port()
    master, worker = Node("master", tmp_path / "master", port=port), Mounted(tmp_path / "worker", SMALL_DISK, port)
    master.write("a", b"old")
    with nodes(master, worker):
        wait_until(lambda: worker.tree() == {"tree/a": b"old"}, "the first sync")
        before = staged(worker)
        master.write("large", Random(1).randbytes(LARGE))
        master.write("a", b"new")
        wait_until(lambda: worker.said("WARNING .*not applied: .*No space left on device") > 0, "the disk to be full")
        wait_until(lambda: worker.said("ERROR") > 0, "the alarm", ALARM_S)
        assert worker.said("ERROR .*failed .* times within .* more of it is only counted: .*No space left") == 1
        assert worker.tree() == {"tree/a": b"old"}, "all or nothing"
        assert master.said("ERROR .*is not taken, the worker reports: .*No space left on device") == 1
        wait_until(lambda: staged(worker) == before, "a try to free what it took")
        assert not (worker.seen / "tree/large").exists()
        tries = worker.said("No space left on device")
        wait_until(lambda: worker.said("No space left on device") > tries, "another try")
        worker.run("rm", str(worker.home / "ballast"))
        wait_until(lambda: worker.said("INFO .*the space /.* is another now; trying again at once") == 1, "the room")
        wait_until(lambda: worker.tree() == master.tree(), "the sync")
        wait_until(lambda: worker.said("WARNING .*works again after .* failures") == 1, "the end of the alarm")
        for node in (worker, master):
            assert (node.said("ERROR"), node.said("Traceback")) == (1, 0), node.lines()
