"""Groups of 10,000 agents reach two workers, as processes; a database that is locked holds nothing else up."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.recordings.peer import Peer
from tests.support.processes import KEY, Node, free_port, nodes, wait_until
from tests.support.sqlite_store import with_store

from outrider.model import GroupAssignment
from outrider.store.agents import GroupsQuery
from outrider.store.sqlite import SqliteStore

AGENTS = 10_000


def three(folder: Path) -> tuple[Node, Node, Node]:
    port = free_port()
    master = Node("master", folder / "master-node", port=port)
    return master, Node("worker", folder / "worker1", port=port), Node("worker", folder / "worker2", port=port)


def assign(master: Node, groups: dict[int, tuple[str, ...]]) -> None:
    """Beside the node, through the same file, as the command line does."""

    async def story(store: SqliteStore) -> None:
        every = [GroupAssignment(*one) for one in groups.items()]
        for start in range(0, len(every), 1000):
            await store.set_groups(every[start : start + 1000], "override", "syncreq")

    with_store(master.home, story)


def kept(node: Node) -> dict[int, tuple[str, ...]]:
    async def story(store: SqliteStore) -> dict[int, tuple[str, ...]]:
        found: dict[int, tuple[str, ...]] = {}
        while True:
            part = await store.groups(GroupsQuery("all", after=max(found, default=0)))
            found |= {one.id: one.groups for one in part.assignments}
            if not part.more:
                return found

    return with_store(node.home, story)


@contextlib.contextmanager
def locked(*several: Node) -> Iterator[None]:
    """Another process (this one) holds the databases of these nodes."""
    with contextlib.ExitStack() as stack:
        for node in several:
            held = sqlite3.connect(node.home / ".outrider" / "agents.db", isolation_level=None)
            stack.callback(held.close)
            held.execute("BEGIN IMMEDIATE")
        yield


def test_groups_of_10_000_agents_change_on_the_master_and_reach_both_workers(tmp_path: Path) -> None:
    master, *workers = three(tmp_path)
    with nodes(master, *workers):
        wait_until(lambda: master.said("joined from") == 2)
        groups: dict[int, tuple[str, ...]] = {number: ("default", f"g{number % 40}") for number in range(1, AGENTS + 1)}
        assign(master, groups)
        wait_until(lambda: all(kept(worker) == groups for worker in workers), "10,000 assignments")
        command = [sys.executable, "-m", "outrider", "agents", "set-groups", "7", "web", "db"]
        subprocess.run([*command, "--home", str(master.home)], check=True, capture_output=True)
        wait_until(lambda: all(kept(worker) == groups | {7: ("web", "db")} for worker in workers), "the change of one")
        workers[0].kill()
        assign(master, {8: ("alone",)})
        wait_until(lambda: kept(workers[1])[8] == ("alone",))
        workers[0].start()
        wait_until(lambda: kept(workers[0]) == kept(master), "what the killed worker missed")
    assert all(node.said("Traceback") == 0 for node in (master, *workers))


def change_group(master: Node, worker: Node, group: str) -> None:
    """Make a group's file, then put an agent into the group; see the worker get both."""
    master.write(f"{group}/agent.conf", group.encode() * 1000)
    command = [sys.executable, "-m", "outrider", "agents", "set-groups", "7", group]
    subprocess.run([*command, "--home", str(master.home)], check=True, capture_output=True)
    wait_until(lambda: kept(worker).get(7) == (group,), "the assignment")
    assert f"tree/{group}/agent.conf" in worker.tree(), "first the files"


def test_groups_set_on_the_command_line_are_at_a_worker_after_their_files_though_every_interval_is_an_hour(
    tmp_path: Path,
) -> None:
    port = free_port()
    rare = {"recalculate_integrity": 3600, "sync_agent_groups": 3600}
    master = Node("master", tmp_path / "master-node", port=port, intervals=rare)
    worker = Node("worker", tmp_path / "worker1", port=port, intervals={"sync_integrity": 3600})
    with nodes(master, worker):
        wait_until(lambda: bool(worker.said("Finished in .* in step")), "the first round")
        assign(master, {7: ("default",)})
        for number in range(5):
            change_group(master, worker, f"group{number}")
    assert all(node.said("Traceback") == 0 for node in (master, worker))


def test_threat_46_locked_databases_hold_up_no_keep_alive_no_file_and_no_answer(tmp_path: Path) -> None:
    """The lock is held until everything that it must not hold up has happened, and for twenty keep-alives at least."""
    master, worker, other = three(tmp_path)
    with nodes(master, worker, other):
        wait_until(lambda: master.said("joined from") == 2)
        assign(master, {1: ("before",)})
        wait_until(lambda: kept(worker) == kept(other) == {1: ("before",)})
        with locked(worker):
            assign(master, {2: ("during",)})
            wait_until(lambda: kept(other).get(2) == ("during",), "the worker beside a locked one")
            with locked(master, other):
                began = time.monotonic()
                master.write("a.conf", b"while the databases are locked\n")
                wait_until(lambda: worker.tree() == other.tree() == master.tree() != {}, "files past the lock")
                while time.monotonic() - began < 20:
                    asyncio.run(echo(master.port))
        assign(master, {3: ("after",)})
        wait_until(lambda: kept(worker) == kept(other) == kept(master), "groups after the lock")
        assert len(kept(worker)) == 3
        for node in (worker, other):
            assert node.said("Keep alive.*did not answer") == node.said("disconnected") == 0


async def echo(port: int) -> None:
    """One round trip to a node whose event loop is free."""
    peer = await Peer.dial(port, KEY)
    assert (await peer.ask("echo", b"still there?")).payload == b"still there?"
    await peer.close()
    await asyncio.sleep(0.1)
