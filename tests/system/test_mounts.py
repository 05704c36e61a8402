"""A worker with something mounted in its tree: staged there, or refused clearly until it is unmounted (threats 37)."""

from __future__ import annotations

from pathlib import Path

from tests.support.mounts import Mounted
from tests.support.processes import Node, free_port, nodes, wait_until


def two(folder: Path, mounts: str) -> tuple[Node, Mounted]:
    """A master, and a worker that is in step with it but for the mounts."""
    port = free_port()
    master, worker = Node("master", folder / "master-node", port=port), Mounted(folder / "worker1", mounts, port)
    for node in (master, worker):
        node.write("a", b"old")
        node.write("sub/b", b"old")
    (folder / "own").write_bytes(b"mounted")
    return master, worker


def refused(master: Node, worker: Mounted, why: str, remedy: list[str]) -> None:
    """Everything waits while the worker refuses what ``why`` (its first line of it) says, and syncs after the remedy.

    Every generation is tried, and told.
    """
    with nodes(master, worker):
        wait_until(lambda: worker.said(why) > 0, "the refusal")
        wait_until(lambda: master.said("ERROR .*the worker reports: ") > 0, "the master's word of it")
        before = worker.tree()
        assert (before["tree/a"], before["tree/sub/b"]) != (b"new", b"new")
        told = master.said("the worker reports: ")
        master.write("a", b"new")
        master.write("sub/b", b"new")
        master.write("c", b"new")
        wait_until(lambda: master.said("ERROR .*the worker reports: ") > told, "the refusal of the change")
        assert worker.tree() == before, "all or nothing"
        wait_until(lambda: not list((worker.seen / ".outrider/stage").iterdir()), "the space to be free after a try")
        worker.run(*remedy)
        wait_until(lambda: worker.tree() == master.tree(), "the sync")
        assert worker.said("Traceback") == master.said("Traceback") == 0


def test_threat_37_a_file_that_is_mounted_is_refused_clearly_until_it_is_unmounted(tmp_path: Path) -> None:
    master, worker = two(tmp_path, "mount --bind ../own tree/a")
    remedy = ["umount", str(worker.home / "tree/a")]
    why = "something is mounted there, .* mount the folder instead"
    refused(master, worker, f"WARNING .*not applied: .*tree/a.*{why}", remedy)


def test_threat_37_a_folder_that_is_mounted_read_only_is_refused_clearly_until_it_is_writable(tmp_path: Path) -> None:
    master, worker = two(tmp_path, "mount --bind tree/sub tree/sub && mount -o remount,bind,ro tree/sub")
    master.write("sub/b", b"newer")
    remedy = ["mount", "-o", "remount,bind,rw", str(worker.home / "tree/sub")]
    refused(master, worker, "ERROR .*not applied: .*tree/sub.*Read-only file system", remedy)


def test_threat_37_a_folder_on_another_file_system_gets_a_stage_of_its_own(tmp_path: Path) -> None:
    master, worker = two(tmp_path, "mount -t tmpfs none tree/sub")
    with nodes(master, worker):
        wait_until(lambda: worker.tree() == master.tree(), "the sync")
        master.write("sub/b", b"new")
        master.write("a", b"new")
        (master.home / "tree/sub/deep").mkdir()
        wait_until(lambda: worker.tree() == master.tree(), "the change")
        assert (worker.home / "tree/sub/b").read_bytes() == b"old", "what lies below the mount is not touched"
        assert (worker.seen / "tree/sub/.outrider/stage").is_dir()
        assert worker.said("ERROR") == master.said("ERROR") == 0
