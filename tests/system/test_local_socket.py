"""Real nodes, asked over their local sockets: by the command line and by programs in C's manner."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.local_clients import like_c
from tests.support.processes import Node, free_port, frozen, nodes, wait_until


def outrider(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "outrider", *arguments, "--home", str(node.home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def told(node: Node, *arguments: str) -> Any:
    done = outrider(node, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def socket_of(node: Node) -> Path:
    return node.home / "queue/cluster/c-internal.sock"


def test_every_node_answers_its_programs_also_when_the_master_is_gone(tmp_path: Path) -> None:
    port = free_port()
    head, worker = Node("master", tmp_path / "head", port=port), Node("worker", tmp_path / "w1", port=port)
    head.write("a.conf", b"a")
    with nodes(head, worker):
        wait_until(lambda: worker.said("listening at") == 1 and worker.tree() == head.tree(), "a worker in step")
        for node in (head, worker):
            assert stat.S_IMODE(socket_of(node).stat().st_mode) == 0o660
            assert [(one["name"], one["type"]) for one in told(node, "nodes")] == [("head", "master"), ("w1", "worker")]
            health = told(node, "health", "w1")
            assert health["connected"] == 1
            assert health["nodes"]["w1"]["status"]["last_sync_integrity"]["total_files"]["missing"] == 1
            assert health["nodes"]["w1"]["info"]["n_active_agents"] == 0
            assert "w1" in outrider(node, "health").stdout
            status = told(node, "status")
            assert status["node"]["name"] == node.home.name
            assert "integrity" in status["status"]["kinds"]
            assert node.home.name in outrider(node, "status").stdout
        _calls(head, worker)
        _errors(worker)
        _without_the_master(head, worker)
    assert outrider(head, "nodes").returncode == 3


def test_a_node_that_is_stopped_is_told_from_one_that_is_slow(tmp_path: Path) -> None:
    master = Node("master", tmp_path / "head", port=free_port())
    with nodes(master):
        wait_until(lambda: master.said("listening at") == 1, "the local socket")
        with frozen(master):
            asked = outrider(master, "status")  # it would wait for 200 s, ended by nothing else
            assert (asked.returncode, asked.stdout) == (1, "")
            assert "has heard nothing for 10 s: its process is stopped (kill -CONT" in asked.stderr
        assert told(master, "status")["node"]["name"] == "head"


def _calls(head: Node, worker: Node) -> None:
    for node in (head, worker):
        assert told(node, "call", "outrider.node")["name"] == "head"
        assert told(node, "call", "outrider.ping", "text=hi there")["text"] == "hi there"
        assert told(node, "call", "outrider.node", "--node", "w1")["name"] == "w1"
        everywhere = told(node, "call", "wazuh.cluster:get_node_wrapper", "--all")
        assert sorted(item["node"] for item in everywhere["affected_items"]) == ["head", "w1"]
        assert "w1" in outrider(node, "call", "wazuh.cluster:get_node_wrapper", "--all").stdout
        assert set(told(node, "call", "outrider.calls")) >= {"outrider.ping", "outrider.status"}


def _errors(worker: Node) -> None:
    for arguments, said in (
        (("health", "nobody"), "1730"),
        (("call", "no.such"), "no call named 'no.such'"),
        (("call", "outrider.ping", "color=red"), "color"),
        (("call", "outrider.node", "--node", "w9"), "w9"),
    ):
        done = outrider(worker, *arguments)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    for wrong in (("call", "outrider.ping", "text"), ("call", "outrider.ping", "--all", "--node", "w1")):
        assert outrider(worker, *wrong).returncode == 2


def _without_the_master(head: Node, worker: Node) -> None:
    head.kill()
    wait_until(lambda: worker.said("disconnected") > 0, "the worker's notice")
    assert told(worker, "status")["status"]["link"]["connected"] is False
    refused = outrider(worker, "nodes")
    assert (refused.returncode, "3023" in refused.stderr) == (1, True)
    assert "tree/" not in like_c(socket_of(worker), "get_hash", b"").json
    assert b"3023" in like_c(socket_of(worker), "sendsync", b'{"daemon_name": "authd", "message": "x"}').payload
    assert worker.terminate() == 0
    assert not socket_of(worker).exists()


def test_a_node_that_was_killed_leaves_a_socket_that_the_next_one_replaces(tmp_path: Path) -> None:
    head = Node("master", tmp_path / "head", port=free_port())
    with nodes(head):
        wait_until(lambda: head.said("listening at") == 1, "the socket")
        head.kill()
        assert socket_of(head).is_socket()
        assert outrider(head, "nodes").returncode == 3
        head.start()
        wait_until(lambda: head.said("listening at") == 2, "the socket again")
        assert told(head, "nodes")[0]["name"] == "head"
