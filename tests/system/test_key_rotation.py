"""The cluster key is rotated by the command, over real sockets and TLS, while nodes are killed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import DEADLINE_S, KEY, Node, free_port, frozen, nodes, wait_until

from outrider.settings.key_file import read_key_file


def node(role: str, home: Path, port: int) -> Node:
    """A node whose key lies in a file beside its home."""
    file = home.parent / f"{home.name}.key"
    file.write_text(f"{KEY}\n", "ascii")
    file.chmod(0o600)
    return Node(role, home, port=port, key_file=file)


def keys(one: Node) -> list[bytes]:
    return [bytes(key) for key in read_key_file(one.home.parent / f"{one.home.name}.key")]


def line(one: Node, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "outrider", "key", *arguments, "--home", str(one.home), "--json"]


def command(one: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line(one, *arguments), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def waiting(one: Node, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that takes as long as the rotation; whatever becomes of the test, it ends."""
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(line(one, *arguments), stdout=pipe, stderr=pipe, stdin=none, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def states(one: Node) -> dict[str, str]:
    return {worker["name"]: worker["state"] for worker in status(one).get("workers", ())}


def at_end(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the command has printed, once it has ended well."""
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    read: dict[str, Any] = json.loads(out)
    return read


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


def test_who_waits_hears_of_the_end_when_a_worker_that_came_back_meanwhile_seals_too(tmp_path: Path) -> None:
    port = free_port()
    master = node("master", tmp_path / "master-node", port)
    slow, stopped = workers = [node("worker", tmp_path / f"worker{number}", port) for number in (1, 2)]
    with nodes(master, *workers), contextlib.ExitStack() as until:
        wait_until(lambda: master.said("link to worker. is extended") == 2, "both workers")
        stopped.terminate()
        wait_until(lambda: states(master) == {"worker1": "followed", "worker2": "away"}, "one worker to be away")
        with frozen(slow):
            rotating = until.enter_context(waiting(master, "rotate", "--wait", "--window", "3600"))
            wait_until(lambda: states(master).get("worker1") == "follows", "the rotation to wait for one")
            stopped.start()
            wait_until(lambda: states(master).get("worker2") == "followed", "the other to be back and to follow")
            assert status(master)["phase"] == "adding"
            assert rotating.poll() is None
        told = at_end(rotating)
        assert told["phase"] == "window"
        assert {one["name"]: one["state"] for one in told["workers"]} == {"worker1": "followed", "worker2": "followed"}
        assert told["holds"] == [told["new"], *told["old"]]
        ring = keys(master)
        assert ring[1:] == [KEY.encode()]
        assert [keys(worker) for worker in workers] == [ring, ring]
        master.write("after.conf", b"sealed with the new key\n")
        wait_until(lambda: all(worker.tree() == master.tree() for worker in workers), "the workers in step")


def test_who_waits_does_not_wait_for_a_worker_that_goes_and_that_follows_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    master = node("master", tmp_path / "master-node", port)
    stays, goes = workers = [node("worker", tmp_path / f"worker{number}", port) for number in (1, 2)]
    with nodes(master, *workers):
        wait_until(lambda: master.said("link to worker. is extended") == 2, "both workers")
        with frozen(goes), waiting(master, "rotate", "--wait", "--window", "3600") as rotating:
            wait_until(lambda: states(master) == {"worker1": "followed", "worker2": "follows"}, "one to be behind")
            assert rotating.poll() is None
            goes.kill()
            told = at_end(rotating)
            goes.start()
        assert told["phase"] == "window"
        assert {one["name"]: one["state"] for one in told["workers"]} == {"worker1": "followed", "worker2": "away"}
        assert keys(stays) == keys(master)
        wait_until(lambda: states(master).get("worker2") == "followed", "the other to be back and to follow")
        assert keys(goes) == keys(master)


def test_who_waits_is_told_that_the_rotation_outlives_the_master(tmp_path: Path) -> None:
    port = free_port()
    master, worker = node("master", tmp_path / "master-node", port), node("worker", tmp_path / "worker1", port)
    with nodes(master, worker):
        wait_until(lambda: master.said("link to worker1 is extended") == 1, "the worker")
        with frozen(worker), waiting(master, "rotate", "--wait", "--window", "3600") as rotating:
            wait_until(lambda: states(master) == {"worker1": "follows"}, "the worker to be behind")
            master.kill()
            _, err = rotating.communicate(timeout=DEADLINE_S)
        assert rotating.returncode == 3
        assert "the rotation goes on when the master is back" in err
        master.start()
        wait_until(lambda: status(master).get("phase") == "window", "the rotation to go on")
        wait_until(lambda: states(master) == {"worker1": "followed"}, "the worker to seal with the new key")
        assert keys(worker) == keys(master)


def test_who_waits_is_told_of_a_worker_that_came_meanwhile_and_cannot_learn_the_key(tmp_path: Path) -> None:
    port = free_port()
    master, able = node("master", tmp_path / "master-node", port), node("worker", tmp_path / "worker1", port)
    unable = Node("worker", tmp_path / "worker2", port=port)  # its key stands in its settings
    with contextlib.ExitStack() as until:
        until.enter_context(nodes(master, able))
        wait_until(lambda: master.said("link to worker1 is extended") == 1, "the worker")
        with frozen(able):
            rotating = until.enter_context(waiting(master, "rotate", "--wait", "--window", "3600"))
            wait_until(lambda: states(master) == {"worker1": "follows"}, "the worker to be behind")
            until.enter_context(nodes(unable))
            wait_until(lambda: states(master).get("worker2") == "cannot", "the other to have said that it cannot")
        _, err = rotating.communicate(timeout=DEADLINE_S)
        assert rotating.returncode == 1
        assert "worker2 cannot learn the new key: its key is in its settings" in err
        assert "outrider key rotate --yes" in err
        assert status(master)["phase"] == "adding"
        told = at_end(until.enter_context(waiting(master, "rotate", "--yes", "--wait", "--window", "3600")))
        assert told["phase"] == "window"
        assert {one["name"]: one["state"] for one in told["workers"]} == {"worker1": "followed", "worker2": "cannot"}
