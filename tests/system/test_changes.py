"""Nodes whose intervals are an hour: what happens here happens because someone saw a file change."""

from __future__ import annotations

from pathlib import Path

from tests.support.processes import Node, free_port, nodes, wait_until

from outrider.printable import counted

HOUR = 3600


def looked_at(master: Node, files: int, read: int) -> int:
    return master.said(rf"\b{counted(files, 'file')}, {read} of them read")


def test_a_changed_file_shows_at_the_master_long_before_its_interval(tmp_path: Path) -> None:
    master = Node("master", tmp_path / "master-node", port=free_port(), intervals={"recalculate_integrity": HOUR})
    master.write("a.conf", b"first\n")
    with nodes(master):
        wait_until(lambda: looked_at(master, 1, 0) > 0, "the look after the watch began")
        master.write("deep/below/b.conf", b"second\n")
        wait_until(lambda: looked_at(master, 2, 1) > 0, "a new file in new folders")
        master.write("deep/below/b.conf", b"changed\n")
        wait_until(lambda: looked_at(master, 2, 1) > 1, "a file that was renamed over")
        (master.home / "tree" / "a.conf").unlink()
        wait_until(lambda: looked_at(master, 1, 0) > 1, "a file that went")
        assert master.terminate() == 0
    assert master.said("Traceback") == 0


def test_a_file_that_is_edited_on_a_worker_is_repaired_long_before_its_interval(tmp_path: Path) -> None:
    port = free_port()
    master = Node("master", tmp_path / "master-node", port=port)
    worker = Node("worker", tmp_path / "worker1", port=port, intervals={"sync_integrity": HOUR})
    master.write("a.conf", b"as it should be\n")
    worker.write("a.conf", b"as it should be\n")
    with nodes(master, worker):
        wait_until(lambda: worker.said("Finished.*in step") > 0, "the first round")
        worker.write("a.conf", b"edited\n")
        worker.write("extra", b"")
        wait_until(lambda: worker.tree() == master.tree(), "the repair")
        assert worker.terminate() == 0
        assert master.terminate() == 0
    assert worker.said("Traceback") == master.said("Traceback") == 0
