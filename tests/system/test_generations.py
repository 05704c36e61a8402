"""The fast path between processes: pushes, nodes that are killed while a bundle is on its way, and the ways back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.middle import Middle
from tests.support.processes import Node, free_port, nodes, wait_until

HOUR = 3600
RARE = {"master": {"recalculate_integrity": HOUR}, "worker": {"sync_integrity": HOUR}}
LARGE = {f"large/{number}": Random(number).randbytes(1_500_000) for number in range(20)}
MANY = {f"many/{number}.conf": b"%d\n" % number for number in range(40)}

Tree = dict[str, bytes]


def pair(folder: Path, port: int = 0, **generations: Any) -> tuple[Node, Node]:
    """A master and a worker that look at nothing for an hour unless somebody tells them to."""
    at = free_port()
    master = Node("master", folder / "master-node", port=at, intervals=RARE["master"])
    worker = Node("worker", folder / "worker1", port=port or at, intervals=RARE["worker"], generations=generations)
    return master, worker


def through_a_middle(folder: Path) -> tuple[Node, Node, Middle]:
    """The same, with somebody between them."""
    at = free_port()
    middle = Middle(at)
    master = Node("master", folder / "master-node", port=at, intervals=RARE["master"])
    return master, Node("worker", folder / "worker1", port=middle.port, intervals=RARE["worker"]), middle


def at_once(master: Node, files: Tree) -> None:
    """Put a whole folder into the tree by one rename: one generation."""
    fresh = master.home / "fresh-folder"
    for path, content in files.items():
        (fresh / path).parent.mkdir(parents=True, exist_ok=True)
        (fresh / path).write_bytes(content)
    for folder in list(fresh.iterdir()):
        folder.rename(master.home / "tree" / folder.name)


def in_step(worker: Node, master: Node) -> None:
    wait_until(lambda: bool(master.tree()) and worker.tree() == master.tree(), "the worker to be in step")


def run(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "outrider", *words, "--home", str(node.home)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def told(node: Node, *words: str) -> str:
    """What a command that worked wrote."""
    done = run(node, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(node: Node, *words: str) -> str:
    """What a command was told that the node did not follow."""
    done = run(node, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def numbers(node: Node) -> list[tuple[int, bool]]:
    return [(row["number"], row["current"]) for row in json.loads(told(node, "generations", "list", "--json"))]


def sound(*several: Node) -> None:
    """Nothing was a defect, no stage is left of an apply that never came to its end, and they end as they should."""
    for node in several:
        stages = node.home / ".outrider/stage"
        wait_until(lambda stages=stages: all((one / "journal").exists() for one in stages.glob("*")), "the sweep")  # type: ignore[misc]
        assert node.said("Traceback") == 0
        assert node.terminate() == 0


def test_a_change_is_at_the_worker_though_every_interval_is_an_hour(tmp_path: Path) -> None:
    master, worker = pair(tmp_path)
    master.write("a.conf", b"first\n")
    with nodes(master, worker):
        in_step(worker, master)
        for number in range(10):
            master.write("a.conf", b"change %d\n" % number)
            master.write(f"deep/{number}/b.conf", b"new\n")
            in_step(worker, master)
        (master.home / "tree/a.conf").unlink()
        in_step(worker, master)
        at_once(master, LARGE)
        in_step(worker, master)
        sound(worker, master)


def test_a_worker_that_is_killed_while_a_large_bundle_arrives_comes_up_in_step(tmp_path: Path) -> None:
    master, worker, middle = through_a_middle(tmp_path)
    master.write("a.conf", b"first\n")
    with middle.open(), nodes(master, worker):
        in_step(worker, master)
        before = worker.tree()
        middle.room = 10_000_000
        at_once(master, LARGE)
        assert middle.held.wait(30)
        assert worker.tree() == before, "nothing changes before the last byte"
        worker.kill()
        assert worker.tree() == before
        middle.go_on()
        worker.start()
        in_step(worker, master)
        sound(worker, master)


def test_a_master_that_is_killed_while_it_packs_serves_the_same_step_when_it_is_back(tmp_path: Path) -> None:
    master, worker, middle = through_a_middle(tmp_path)
    master.write("a.conf", b"first\n")
    bundles = master.home / ".outrider/bundles"
    with middle.open(), nodes(master, worker):
        in_step(worker, master)
        before = worker.tree()
        middle.room = 1_000_000
        at_once(master, LARGE)
        wait_until(lambda: any(bundle.stat().st_size for bundle in bundles.iterdir()), "a bundle in the making")
        master.kill()
        assert worker.tree() == before, "the middle has held most of it back"
        middle.go_on()
        master.start()
        in_step(worker, master)
        assert [number for number, _ in numbers(master)][-1] == 2, "the tree was the same: no new generation"
        sound(worker, master)


def test_generations_are_listed_shown_and_gone_back_to_on_the_command_line(tmp_path: Path) -> None:
    master, worker = pair(tmp_path)
    master.write("a.conf", b"first\n")
    with nodes(master, worker):
        in_step(worker, master)
        at_once(master, MANY)
        in_step(worker, master)
        first, second = ({"tree/a.conf": b"first\n"}, master.tree())
        assert numbers(master) == numbers(worker) == [(1, False), (2, True)], "a worker asks its master"
        rows = told(master, "generations", "list").splitlines()[1:]
        assert [row.split()[:2] for row in rows][1] == ["*", "2"]
        assert rows[0].split()[0] == "1"
        shown = told(worker, "generations", "show", "2").splitlines()
        assert shown[0].startswith("generation 2, ")
        assert shown[1:] == sorted(f"+ tree/{path}" for path in MANY)
        assert "generation 99 is not kept; kept are: 1 to 2" in refused(master, "generations", "show", "99")
        assert "generation 99 is not kept" in refused(master, "generations", "rollback", "99")
        assert "run this at the master" in refused(worker, "generations", "rollback", "1")
        assert "as the latest it is generation 3" in told(master, "generations", "rollback", "1")
        assert master.tree() == first
        in_step(worker, master)
        assert json.loads(told(master, "generations", "rollback", "2", "--json"))["number"] == 4
        assert master.tree() == second
        in_step(worker, master)
        sound(worker, master)
    assert run(master, "generations", "list").returncode == 3


def test_a_worker_is_taken_back_on_the_command_line_until_the_next_generation(tmp_path: Path) -> None:
    master, worker = pair(tmp_path)
    master.write("a.conf", b"first\n")
    with nodes(master, worker):
        in_step(worker, master)
        before = worker.tree()
        master.write("a.conf", b"second\n")
        in_step(worker, master)
        wait_until(lambda: bool(master.said("stands at generation 2")), "the worker's word")
        assert told(worker, "rollback").startswith("1 change taken back")
        assert worker.tree() == before
        assert worker.said("1 change taken back: rolled back by a person") == 1
        assert "`outrider generations rollback NUMBER`" in refused(master, "rollback")
        master.write("b.conf", b"third\n")
        in_step(worker, master)
        sound(worker, master)


@pytest.mark.parametrize("where", ["worker", "master"])
def test_threat_31_a_step_that_deletes_most_of_a_tree_waits_for_a_command(tmp_path: Path, where: str) -> None:
    master, worker = pair(tmp_path)
    at_once(master, MANY)
    master.write("a.conf", b"first\n")
    with nodes(master, worker):
        in_step(worker, master)
        assert "nothing is held back on this node" in refused(worker, "approve")
        before = worker.tree()
        (master.home / "tree/many").rename(master.home / "elsewhere")
        wait_until(lambda: bool(worker.said("outrider approve")), "the step to be held back")
        wait_until(lambda: bool(master.said("outrider approve")), "the master to hear of it")
        assert worker.tree() == before
        assert "may delete what it wants" in told(worker if where == "worker" else master, "approve")
        in_step(worker, master)
        assert worker.tree() == {"tree/a.conf": b"first\n"}
        sound(worker, master)


def test_threat_39_a_check_that_fails_takes_the_worker_back_and_tells_the_master(tmp_path: Path) -> None:
    check = "import pathlib, sys; sys.exit('bad' in pathlib.Path('tree/a.conf').read_text() and 'line 1 is bad')"
    master, worker = pair(tmp_path, check_command=[sys.executable, "-c", check])
    master.write("a.conf", b"good\n")
    with nodes(master, worker):
        in_step(worker, master)
        before = worker.tree()
        master.write("a.conf", b"bad\n")
        wait_until(lambda: bool(worker.said("generation 2 is quarantined here.*line 1 is bad")), "the way back")
        wait_until(lambda: bool(master.said("generation 2 is not taken.*line 1 is bad")), "the master to hear of it")
        assert worker.tree() == before
        master.write("a.conf", b"better\n")
        in_step(worker, master)
        sound(worker, master)
