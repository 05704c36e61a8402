"""Real sockets that are nobody's."""

from __future__ import annotations

import contextlib
import resource
import socket
from pathlib import Path

from tests.support.processes import Node, free_port, nodes, wait_until


def test_threat_02_a_worker_joins_among_a_thousand_silent_connections_which_end_at_the_deadline(
    tmp_path: Path,
) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most), most))
    port = free_port()
    master = Node("master", tmp_path / "master-node", port=port, handshake_deadline_s=5)
    worker = Node("worker", tmp_path / "worker1", port=port)
    with nodes(master), contextlib.ExitStack() as silent:
        for _ in range(1000):
            silent.enter_context(socket.create_connection((master.host, port)))
        with nodes(worker):
            wait_until(lambda: master.said("worker1 joined") == 1, "the worker to join")
            wait_until(lambda: master.said("ended before hello: no hello within") == 1000, "the deadline")
            assert master.said("worker1 disconnected") == 0


def test_threat_01_a_header_that_declares_four_gigabytes_closes_the_connection_at_once(tmp_path: Path) -> None:
    master = Node("master", tmp_path / "master-node", port=free_port(), handshake_deadline_s=600)
    with nodes(master), socket.create_connection((master.host, master.port), timeout=30) as sock:
        sock.sendall(b"\0\0\0\1\xff\xff\xff\xffhello ------")
        assert sock.recv(100) == b""
    assert master.said("a frame declares 4294967295 bytes") == 1
