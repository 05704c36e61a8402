"""Nodes that are killed with no time to say goodbye, and come back."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.support.folders import files_below
from tests.support.processes import Node, free_port, nodes, wait_until


def test_a_worker_that_is_killed_again_and_again_comes_back_and_gets_in_step(tmp_path: Path) -> None:
    port, random = free_port(), Random(1)
    master, worker = (
        Node("master", tmp_path / "master-node", port=port),
        Node("worker", tmp_path / "worker1", port=port),
    )
    for number in range(500):
        master.write(f"{number % 20}/{number}", random.randbytes(2000))
    with nodes(master, worker):
        for round_number in range(4):
            wait_until(lambda: bool(worker.tree()), "files to arrive")
            worker.kill()
            for number in range(0, 500, 7):
                master.write(f"{number % 20}/{number}", b"%d %d" % (round_number, number))
            worker.start()
        wait_until(lambda: worker.tree() == master.tree(), "the worker to get in step")
        wait_until(lambda: not files_below(worker.home, "queue/cluster"), "transfers to be removed")
        assert worker.terminate() == master.terminate() == 0


def test_a_master_that_is_killed_comes_back_and_its_workers_with_it(tmp_path: Path) -> None:
    port = free_port()
    master = Node("master", tmp_path / "master-node", port=port)
    workers = [Node("worker", tmp_path / f"worker{number}", port=port) for number in (1, 2)]
    master.write("a", b"1")
    with nodes(master, *workers):
        for content in (b"2", b"3"):
            wait_until(lambda: all(worker.tree() == master.tree() for worker in workers))
            master.kill()
            master.write("a", content)
            master.start()
        wait_until(lambda: all(worker.tree() == master.tree() for worker in workers))
        assert [node.terminate() for node in (*workers, master)] == [0, 0, 0]
