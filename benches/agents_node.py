"""A node as a process of the agents bench, which watches its own event loop and memory.

``python -m benches.agents_node worker|master HOME PORT``. It says when it is ready and when a round ended;
to the line ``begin`` it starts to watch, to ``found`` it tells what it saw, at the end of its input it ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches.watch import Watch
from outrider.master import Master
from outrider.settings import Settings
from outrider.store.agents import GroupsQuery
from outrider.store.choice import embedded
from outrider.worker import Worker
from outrider.world import real_ports, share_freed_memory

WAIT_S = 3.0
"""From a worker's connection to its first round: both ends are idle by then."""
_ROUND = "agent_info"


def settings(role: str, home: Path, port: int = 0) -> Settings:
    """Those of the bench: one round of agent information, and little else meanwhile."""
    return Settings.from_mapping(
        {
            "node.home": str(home),
            "node.name": role,
            "link.nodes": ["127.0.0.1"],
            "link.bind_addr": "127.0.0.1",
            "link.port": port,
            "link.key": "k" * 31 + "_",
            "intervals.worker.sync_agent_info": WAIT_S,
            "intervals.worker.sync_integrity": 1000,
            "intervals.master.recalculate_integrity": 1000,
            "intervals.master.agent_group_start_delay": 1000,
        }
    )


async def main(role: str, home: Path, port: int) -> None:
    """Run one node until the input ends."""
    ports = real_ports()
    known = settings(role, home, port)
    agents = embedded(known, ports)
    node: Worker | Master = (Master if role == "master" else Worker)(known, ports, agents=agents)
    watch = Watch()
    await agents.groups(GroupsQuery("all"))  # a node that runs has its database open
    running = asyncio.ensure_future(node.run())
    others = [asyncio.ensure_future(watch.look()), asyncio.ensure_future(_tell(node))]
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line == "begin\n":
            watch.begin()
        else:
            _say(watch.found())
    await node.stop()
    await running
    for other in others:
        other.cancel()
    await agents.close()


async def _tell(node: Worker | Master) -> None:
    if isinstance(node, Master):
        await node.started.wait()
        _say({"port": node.addresses[0][1]})
        return
    await _until(lambda: node.status.snapshot().link.connected)
    _say({"connected": True})
    await _until(lambda: _ROUND in node.status.snapshot().kinds)
    last = node.status.snapshot().kinds[_ROUND].last
    _say({"seconds": last.seconds, "ok": last.ok} if last else {})


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  (a status is looked at, it calls nobody)
        await asyncio.sleep(0.02)


def _say(news: dict[str, Any]) -> None:
    print(json.dumps(news), flush=True)


if __name__ == "__main__":
    share_freed_memory()  # as the command line does
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
