"""The cluster key is rotated by the command, over real sockets and TLS, while nodes are killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import KEY, Node, free_port, nodes, wait_until

from outrider.settings.key_file import read_key_file


def node(role: str, home: Path, port: int) -> Node:
    """A node whose key lies in a file beside its home."""
    file = home.parent / f"{home.name}.key"
    file.write_text(f"{KEY}\n", "ascii")
    file.chmod(0o600)
    return Node(role, home, port=port, key_file=file)


def keys(one: Node) -> list[bytes]:
    return [bytes(key) for key in read_key_file(one.home.parent / f"{one.home.name}.key")]


def command(one: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "outrider", "key", *arguments, "--home", str(one.home), "--json"]
    return subprocess.run(whole, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def status(one: Node) -> dict[str, Any]:
    done = command(one, "status")
    read: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return read


@pytest.mark.parametrize("killed", ["master", "worker1"])
def test_threat_13_a_node_that_is_killed_again_and_again_ends_the_rotation_like_the_others(
    tmp_path: Path, killed: str
) -> None:
    port = free_port()
    master = node("master", tmp_path / "master-node", port)
    workers = [node("worker", tmp_path / f"worker{number}", port) for number in (1, 2)]
    victim = master if killed == "master" else workers[0]
    with nodes(master, *workers):
        wait_until(lambda: master.said("link to worker. is extended") == 2, "both workers")
        assert command(master, "rotate", "--window", "3").returncode == 0
        for _ in range(4):
            victim.kill()
            victim.start()
            wait_until(lambda: bool(status(victim)), "its local socket")
        wait_until(lambda: status(master).get("phase") == "done", "the end of the rotation")
        (new,) = keys(master)
        assert new != KEY.encode()
        wait_until(lambda: all(keys(worker) == [new] for worker in workers), "the workers' files")
        master.write("after.conf", b"sealed with the new key\n")
        wait_until(lambda: all(worker.tree() == master.tree() for worker in workers), "the workers in step")
    told = "\n".join(line for one in (master, *workers) for line in one.lines())
    assert KEY not in told
    assert new.decode() not in told


def test_threat_13_a_worker_that_was_away_is_told_apart_and_comes_back_with_the_file(tmp_path: Path) -> None:
    port = free_port()
    master, worker = node("master", tmp_path / "master-node", port), node("worker", tmp_path / "worker1", port)
    with nodes(master, worker):
        wait_until(lambda: master.said("link to worker1 is extended") == 1, "the worker")
        worker.terminate()
        assert command(master, "rotate", "--window", "0").returncode == 0
        wait_until(lambda: status(master).get("phase") == "done", "the end of the rotation")
        assert status(master)["workers"] == [{"name": "worker1", "state": "away", "why": ""}]
        worker.start()
        wait_until(lambda: master.said("rotated out on .*give it this master's key file") == 1, "the master's word")
        wait_until(lambda: worker.said("If it was rotated while this node was away") > 0, "the worker's word")
        fresh = tmp_path / "fresh"
        fresh.write_bytes(b"\n".join(keys(master)) + b"\n")
        fresh.chmod(0o600)
        fresh.rename(tmp_path / "worker1.key")
        wait_until(lambda: worker.said("the key file has changed") == 1, "the file to be seen")
        wait_until(lambda: master.said("link to worker1 is extended") == 2, "the worker to be back")
