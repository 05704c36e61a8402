"""Agents of real workers reach a real master: through a killed worker and a locked database, none lost, none twice."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.support.processes import Node, free_port, nodes, wait_until
from tests.support.sqlite_store import full_agent, open_store

from outrider.model import AgentInfo
from outrider.protocol.agents import decode_agents

EACH = 5_000


def three(folder: Path) -> tuple[Node, Node, Node]:
    """A master that knows no agent, and two workers with theirs."""
    port = free_port()
    master, *workers = [Node(role, folder / name, port=port) for role, name in ROLES]
    asyncio.run(learn(master.home, []))
    for number, worker in enumerate(workers):
        asyncio.run(learn(worker.home, [full_agent(1 + number * EACH + one) for one in range(EACH)]))
    return master, workers[0], workers[1]


ROLES = (("master", "master-node"), ("worker", "worker1"), ("worker", "worker2"))


async def learn(home: Path, agents: list[AgentInfo]) -> None:
    store = open_store(home)
    await store.put(agents)
    await store.close()


def known(node: Node) -> list[AgentInfo]:
    """Every agent of a node, by number."""
    with closing(sqlite3.connect(node.home / ".outrider/agents.db")) as db:
        rows = db.execute("select info, labels from information order by id").fetchall()
    texts = [info if labels is None else f'{info[:-1]},"labels":{labels}}}' for info, labels in rows]
    return decode_agents(f"[{','.join(texts)}]".encode())


def count(node: Node, file: str, table: str) -> int:
    with closing(sqlite3.connect(node.home / ".outrider" / file)) as db:
        number: int = db.execute(f"select count(*) from {table}").fetchone()[0]
        return number


@contextmanager
def locked(node: Node) -> Iterator[None]:
    """Another program writes to the node's agents and does not come to an end."""
    with closing(sqlite3.connect(node.home / ".outrider/agents.db", isolation_level=None)) as db:
        db.execute("begin immediate")
        yield
        db.execute("rollback")


def test_ten_thousand_agents_of_two_workers_reach_the_master(tmp_path: Path) -> None:
    master, one, two = three(tmp_path)
    with nodes(master, one, two):
        wait_until(lambda: count(master, "agents.db", "information") == 2 * EACH, "every agent")
        wait_until(lambda: count(one, "outbox.db", "chunks") + count(two, "outbox.db", "chunks") == 0, "their answers")
        assert known(master) == known(one) + known(two)
        asyncio.run(learn(one.home, [full_agent(7, name="renamed")]))
        wait_until(lambda: known(master)[6].name == "renamed", "what changed later")
        for node in (one, two, master):
            assert node.terminate() == 0
            assert node.said("Traceback") == 0


def test_threat_46_a_worker_killed_while_the_master_s_database_is_locked_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    master, one, two = three(tmp_path)
    with nodes(master):
        with locked(master), nodes(one, two):
            # Read, so that the store counts them as sent; in the outbox, since nobody has confirmed them.
            wait_until(lambda: count(one, "agents.db", "unsent") == 0, "the reading")
            assert count(one, "outbox.db", "chunks") > 0
            one.kill()
            master.write("while/locked.conf", b"files travel meanwhile\n")
            wait_until(lambda: two.tree() == master.tree(), "a file")
            assert count(master, "agents.db", "information") == 0
        with nodes(one, two):
            wait_until(lambda: count(master, "agents.db", "information") == 2 * EACH, "every agent")
            wait_until(lambda: count(one, "outbox.db", "chunks") == 0, "its answer")
            assert known(master) == known(one) + known(two)
            assert count(one, "outbox.db", "aside") == 0
    assert master.said("Traceback") == one.said("Traceback") == two.said("Traceback") == 0
