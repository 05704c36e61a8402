"""Agent information of many agents from a worker's database into a master's, two real processes, SQLite at both ends.

Timed by the worker, from its question for permission to the confirmation of the last chunk, so that
reading, outbox, wire and writing are all in it. Beside it a plain ``executemany`` of the same rows
into one table, and the figure of 4.9.2 (3.3 s for 50,000, 2.3 s of it its database), which cannot
be run here and is quoted. Of each node's runs the median of the largest lag and of the growth stands beside
what is allowed.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benches.agents_node import settings
from benches.agents_rows import make_agents
from benches.rows import Row, within
from outrider.model import AgentInfo
from outrider.protocol.agents import encode_agent
from outrider.store.choice import embedded
from outrider.store.outbox import outbox_of
from outrider.world import real_ports

_ORIGINAL_S = 3.3


def run(*, short: bool) -> list[Row]:
    """Each number of agents."""
    counts, runs = ((1_000,), 1) if short else ((1_000, 10_000, 50_000), 3)
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as base:
            agents = list(make_agents(count))
            ours, plain, old = [], [], []
            for number in range(runs):
                ours.append(asyncio.run(_end_to_end(Path(base) / f"run{number}", agents)))
                plain.append(_plain(Path(base) / f"plain{number}.db", agents))
                old.append(asyncio.run(_from_an_old_peer(Path(base) / f"old{number}", count)))
        name = f"agent info of {count:,}"
        seconds = statistics.median(run.seconds for run in ours)
        rows.append(Row(name, seconds, "plain executemany", statistics.median(plain), "as near as can be"))
        if count == 50_000:
            rows.append(Row(name, seconds, "4.9.2, quoted", _ORIGINAL_S, "<= 1.65 s"))
            rows += _seen(name, ours, allowed_ms=20)
            name += ", from an old peer"
            seconds = statistics.median(run.seconds for run in old)
            rows.append(Row(name, seconds, "4.9.2, quoted", _ORIGINAL_S, "as near as can be"))
            rows += _seen(name, old, allowed_ms=50)
    return rows


class _Run(NamedTuple):
    """How long it took, and what each node saw."""

    seconds: float
    saw: dict[str, dict[str, float]]


def _seen(name: str, runs: list[_Run], *, allowed_ms: float) -> list[Row]:
    rows = []
    for node in runs[0].saw:
        lag, grown = (statistics.median(run.saw[node][what] for run in runs) for what in ("lag_ms", "grown_mib"))
        rows += within(f"{name}, {node}", lag_ms=lag, allowed_ms=allowed_ms, grown_mib=grown, allowed_mib=64)
    return rows


class _Process:
    """One node."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, *arguments: object) -> _Process:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", f"benches.{module}", *map(str, arguments))
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


async def _end_to_end(base: Path, agents: list[AgentInfo]) -> _Run:
    homes = _homes(base)
    await _fill(homes[1], agents)
    master = await _Process.start("agents_node", "master", homes[0], 0)
    worker = await _Process.start("agents_node", "worker", homes[1], (await master.hear())["port"])
    await worker.hear()
    await asyncio.sleep(1)
    found = await _timed(len(agents), {"worker": worker, "master": master})
    _check(homes[0], len(agents))
    return found


async def _from_an_old_peer(base: Path, count: int) -> _Run:
    homes = _homes(base)
    master = await _Process.start("agents_node", "master", homes[0], 0)
    port = (await master.hear())["port"]
    old = await _Process.start("agents_old_peer", homes[1], port, count)
    await old.hear()
    found = await _timed(count, {"old peer": old, "master": master})
    _check(homes[0], count)
    return found


async def _timed(count: int, nodes: dict[str, _Process]) -> _Run:
    """Until the first of them says how long it took; then what they saw."""
    saw: dict[str, dict[str, float]] = {}
    try:
        for node in reversed(nodes.values()):
            node.say("begin")
        took = await next(iter(nodes.values())).hear()
        assert took["ok"]
        for name, node in nodes.items():
            if name != "old peer":
                node.say("found")
                saw[name] = await node.hear()
                found = ", ".join(f"{key} {value:.3g}" for key, value in saw[name].items())
                print(f"  {count:,} agents in {took['seconds']:.3f} s, {name}: {found}")
    finally:
        for node in nodes.values():
            await node.end()
    return _Run(took["seconds"], saw)


def _homes(base: Path) -> list[Path]:
    homes = [base / "master", base / "worker"]
    for home in homes:
        home.mkdir(parents=True)
    return homes


async def _fill(home: Path, agents: list[AgentInfo]) -> None:
    """A worker that has run before, came to an orderly end, and has heard of these agents since."""
    async with outbox_of(home, real_ports().threads) as outbox:
        outbox.all_again = False
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
