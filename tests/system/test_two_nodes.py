"""A master and a worker as processes: a changed file travels, a signal ends them, a home has one node."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.support.processes import Node, free_port, nodes, wait_until


def two(folder: Path, host: str = "127.0.0.1") -> tuple[Node, Node]:
    port = free_port(host)
    return Node("master", folder / "master-node", port=port, host=host), Node(
        "worker", folder / "worker1", port=port, host=host
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_files_travel_when_they_come_change_and_go(tmp_path: Path, host: str) -> None:
    master, worker = two(tmp_path, host)
    master.write("a.conf", b"first\n")
    master.write("deep/below/b.bin", bytes(range(256)) * 4096)
    worker.write("left/over", b"from before")
    with nodes(master, worker):
        wait_until(lambda: worker.tree() == master.tree(), "the first sync")
        master.write("a.conf", b"second\n")
        wait_until(lambda: worker.tree() == master.tree(), "the change")
        (master.home / "tree" / "a.conf").unlink()
        wait_until(lambda: worker.tree() == master.tree(), "the deletion")
        assert list(worker.tree()) == ["tree/deep/below/b.bin"]
        assert worker.terminate() == 0
        assert master.terminate() == 0
    assert worker.said("Traceback") == master.said("Traceback") == 0


def test_a_signal_ends_each_node_in_good_order_although_the_other_is_gone(tmp_path: Path) -> None:
    master, worker = two(tmp_path)
    with nodes(master, worker):
        wait_until(lambda: master.said("worker1 joined") == 1)
        assert master.terminate() == 0
        wait_until(lambda: worker.said("cannot reach the master") > 0)
        assert worker.terminate() == 0


def test_a_second_node_on_the_same_home_is_refused_with_exit_code_2(tmp_path: Path) -> None:
    master, worker = two(tmp_path)
    second = Node("worker", worker.home, port=worker.port)
    with nodes(master, worker):
        wait_until(lambda: master.said("worker1 joined") == 1)
        with nodes(second):
            assert second.wait() == 2
        assert second.said("another node runs on") == 1
        assert worker.terminate() == 0
        with nodes(second):
            wait_until(lambda: master.said("worker1 joined") == 2)


def test_a_second_master_on_the_same_port_is_refused_with_exit_code_2(tmp_path: Path) -> None:
    master, _ = two(tmp_path)
    second = Node("master", tmp_path / "other-node", port=master.port)
    with nodes(master, second):
        assert second.wait() == 2
        assert second.said(r"cannot listen on 127\.0\.0\.1:\d+: .*is another master running there\?") == 1


def test_threat_05_probes_that_connect_and_close_leave_nothing_above_debug_in_the_log(tmp_path: Path) -> None:
    master, worker = two(tmp_path)
    with nodes(master):
        wait_until(lambda: master.said("listening at") == 1, "the local socket")
        before = len(master.lines())
        for _ in range(200):
            with socket.create_connection((master.host, master.port)):
                pass
        wait_until(lambda: master.said("ended before hello") == 200)
        assert [line for line in master.lines()[before:] if " DEBUG " not in line] == []
        with nodes(worker):
            wait_until(lambda: master.said("worker1 joined") == 1)
