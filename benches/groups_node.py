"""A node as a process of the groups bench: it says when it is ready, what it watched, and ends with its input.

``python -m benches.groups_node worker|master HOME PORT``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from benches.watch import Watch
from outrider.master import Master
from outrider.model import GroupAssignment
from outrider.settings import Settings
from outrider.store.agents import GroupsPart, GroupsQuery
from outrider.store.sqlite import SqliteStore
from outrider.worker import Worker
from outrider.world import real_ports, share_freed_memory

DELAY_S = 3.0


class Timed(SqliteStore):
    """Notes when groups were first read or hashed for the workers, in Unix seconds."""

    began: float | None = None

    async def groups(self, query: GroupsQuery) -> GroupsPart:
        """As the store does."""
        if query.set_synced:
            self._note()
        return await super().groups(query)

    async def recalculate_hashes(self) -> None:
        """As the store does."""
        self.began = None
        self._note()
        await super().recalculate_hashes()

    def _note(self) -> None:
        self.began = self.began or time.time()


def settings(role: str, home: Path, port: int = 0) -> Settings:
    """One periodic message and, after a single mismatch, a full one."""
    return Settings.from_mapping(
        {
            "node.home": str(home),
            "node.name": role,
            "link.nodes": ["127.0.0.1"],
            "link.bind_addr": "127.0.0.1",
            "link.port": port,
            "link.key": "k" * 31 + "_",
            "intervals.worker.sync_integrity": 1000,
            "intervals.worker.sync_agent_info": 1000,
            "intervals.worker.agent_groups_mismatch_limit": 1,
            "intervals.master.recalculate_integrity": 1000,
            "intervals.master.agent_group_start_delay": DELAY_S,
            "intervals.master.sync_agent_groups": 1000,
        }
    )


async def fill(home: Path, count: int, *, changed: bool, groups: int = 3) -> None:
    """A store in which so many agents have groups."""
    (home / ".outrider").mkdir(parents=True)
    store = SqliteStore(home / ".outrider" / "agents.db", real_ports().threads, wall=time.time)
    every = [
        GroupAssignment(number, ("default", *(f"group{number % 50}-{n}" for n in range(1, groups))))
        for number in range(1, count + 1)
    ]
    for start in range(0, count, 5000):
        await store.set_groups(every[start : start + 5000], "override", "syncreq" if changed else "synced")
    await store.close()


async def main(role: str, home: Path, port: int) -> None:
    """Run one node until the input ends."""
    ports = real_ports()
    agents = Timed(home / ".outrider" / "agents.db", ports.threads, wall=time.time)
    await agents.groups(GroupsQuery("all"))  # a node that runs has its database open
    node = (Master if role == "master" else Worker)(settings(role, home, port), ports, agents=agents)
    running = asyncio.ensure_future(node.run())
    if isinstance(node, Master):
        await node.started.wait()
        _say({"port": node.addresses[0][1]})
    else:
        await _until_connected(node)
        _say({"connected": True})
    await asyncio.sleep(DELAY_S / 2)  # both are idle
    watch = Watch()
    watch.begin()
    looking = asyncio.ensure_future(watch.look())
    while line := await asyncio.to_thread(sys.stdin.readline):
        kind = node.status.snapshot().kinds.get(line.strip())
        last = kind and kind.last
        ended = last.started + last.seconds if last and last.ok else None
        _say({"began": agents.began, "ended": ended, **watch.found()})
    looking.cancel()
    await node.stop()
    await running
    await agents.close()


async def _until_connected(node: Worker) -> None:
    while not node.status.snapshot().link.connected:  # noqa: ASYNC110  (a status is looked at, it calls nobody)
        await asyncio.sleep(0.01)


def _say(news: dict[str, Any]) -> None:
    print(json.dumps(news), flush=True)


if __name__ == "__main__":
    share_freed_memory()  # as the command line does
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
