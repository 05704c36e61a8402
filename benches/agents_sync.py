"""Agent information of many agents from a worker's database into a master's, two real processes, SQLite at both ends.

Timed by the worker, from its question for permission to the confirmation of the last chunk, so that
reading, outbox, wire and writing are all in it. Beside it a plain ``executemany`` of the same rows
into one table, and the figure of 4.9.2 (3.3 s for 50,000, 2.3 s of it its database), which cannot
be run here and is quoted. Lag and memory are printed, not judged.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benches.agents_node import settings
from benches.rows import Row
from outrider.model import AgentInfo, Label
from outrider.protocol.agents import encode_agent
from outrider.store.choice import embedded
from outrider.world import real_ports

_ORIGINAL_S = 3.3


def run(*, short: bool) -> list[Row]:
    """Each number of agents."""
    counts, runs = ((1_000,), 1) if short else ((1_000, 10_000, 50_000), 3)
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as base:
            agents = list(make_agents(count))
            ours, plain = [], []
            for number in range(runs):
                ours.append(asyncio.run(_end_to_end(Path(base) / f"run{number}", agents)))
                plain.append(_plain(Path(base) / f"plain{number}.db", agents))
        seconds = statistics.median(ours)
        name = f"agent info of {count:,}"
        rows.append(Row(name, seconds, "plain executemany", statistics.median(plain), "as near as can be"))
        if count == 50_000:
            rows.append(Row(name, seconds, "4.9.2, quoted", _ORIGINAL_S, "<= 1.65 s"))
    return rows


def make_agents(count: int) -> Iterator[AgentInfo]:
    """As real ones are: 590 bytes of JSON each."""
    for number in range(1, count + 1):
        yield AgentInfo(
            id=number,
            name=f"host-{number:06}.branch-{number % 97:02}.example.com",
            connection_status="active",
            ip=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            os_name="Debian GNU/Linux",
            os_version="12",
            os_major="12",
            os_codename="bookworm",
            os_platform="debian",
            os_uname=f"Linux |host-{number:06} |6.1.0-18-amd64 |#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 |x86_64",
            os_arch="x86_64",
            version="Wazuh v4.9.2",
            config_sum="ab73af41699f13fdd81903b5f23d8d00",
            merged_sum="4a8724b20dee0124ff9656783c490c4e",
            manager_host="worker",
            node_name="worker",
            last_keepalive=1_700_000_000 + number,
            disconnection_time=0,
            group_config_status="synced",
            status_code=0,
            labels=(Label(number, "site", f"branch-{number % 97}"),) if number % 4 == 0 else None,
        )


class _Process:
    """One node."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, role: str, home: Path, port: int = 0) -> _Process:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "benches.agents_node", role, str(home), str(port))
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))

    async def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        news: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return news

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def _end_to_end(base: Path, agents: list[AgentInfo]) -> float:
    homes = [base / "master", base / "worker"]
    for home in homes:
        home.mkdir(parents=True)
    await _fill(homes[1], agents)
    master = await _Process.start("master", homes[0])
    worker = await _Process.start("worker", homes[1], (await master.hear())["port"])
    try:
        await worker.hear()
        await asyncio.sleep(1)
        for node in (master, worker):
            node.say("begin")
        took = await worker.hear()
        assert took["ok"]
        for name, node in (("worker", worker), ("master", master)):
            node.say("found")
            found = ", ".join(f"{key} {value:.3g}" for key, value in (await node.hear()).items())
            print(f"  {len(agents):,} agents in {took['seconds']:.3f} s, {name}: {found}")
    finally:
        await worker.end()
        await master.end()
    _check(homes[0], len(agents))
    return float(took["seconds"])


async def _fill(home: Path, agents: list[AgentInfo]) -> None:
    store = embedded(settings("worker", home), real_ports())
    for start in range(0, len(agents), 5_000):
        await store.put(agents[start : start + 5_000])
    await store.close()


def _check(home: Path, count: int) -> None:
    """The master has them all."""
    with sqlite3.connect(home / ".outrider" / "agents.db") as db:
        assert db.execute("select count(*) from information").fetchone() == (count,)


def _plain(path: Path, agents: list[AgentInfo]) -> float:
    """One transaction, one table, nothing else."""
    rows = [(agent.id, encode_agent(agent)) for agent in agents]
    with sqlite3.connect(path) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("create table agent (id integer primary key, info text not null)")
        started = time.perf_counter()
        db.executemany("insert into agent values (?, ?)", rows)
        db.commit()
        return time.perf_counter() - started
