"""The embedded store of agents by itself: what a master writes, what a worker reads, groups set and read.

Beside each stands plain SQLite with the same rows: one ``executemany`` in one transaction, or one
``SELECT`` of everything. It keeps no marks, no hashes and no labels apart; the ratio is what they cost.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

from msgspec import structs

from benches.agents_rows import make_agents
from benches.rows import Row
from outrider.model import AgentInfo, GroupAssignment
from outrider.protocol.agents import decode_agents, encode_agent
from outrider.store.agents import GroupsQuery
from outrider.store.sqlite import SqliteStore
from outrider.world import ThreadPool

_CHUNK = 110
"""So many agents fill the 65,024 bytes of one chunk."""
_COMBINATIONS = (("default",), ("default", "web"), ("db", "linux", "dmz"), ("default", "a", "b", "c", "d"))
_CREATE = "CREATE TABLE plain (id INTEGER PRIMARY KEY, text TEXT)"
_UPSERT = "INSERT INTO plain VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET text = excluded.text"
_TARGETS = {"store": "<= 0.8 s", "read": "<= 0.5 s", "set groups": "<= 0.4 s", "read groups": "<= 0.4 s"}
"""For 50,000 agents."""


def run(*, short: bool) -> list[Row]:
    """Each number of agents, every measurement on a file that holds them already."""
    counts, runs = ((1_000,), 3) if short else ((1_000, 10_000, 50_000), 5)
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as base:
            ours = asyncio.run(_ours(Path(base), count, runs))
            peers = _plain(Path(base) / "plain.db", count, runs)
        for name, seconds in ours.items():
            target = _TARGETS[name] if count == 50_000 else "told"
            peer = "plain SELECT" if "read" in name else "plain executemany"
            rows.append(Row(f"{name} {count:,} agents", seconds, peer, peers[name], target))
    return rows


async def _ours(base: Path, count: int, runs: int) -> dict[str, float]:
    store = SqliteStore(base / "home" / "agents.db", ThreadPool(), wall=time.time)
    times: dict[str, list[float]] = {name: [] for name in _TARGETS}
    for version in range(runs + 1):
        agents, groups = _agents(count, version), _groups(count, version)
        times["store"].append(await _timed(_store(store, agents)))
        await store.send_all_again()
        times["read"].append(await _timed(_read(store, count)))
        times["set groups"].append(await _timed(store.set_groups(groups, status="syncreq")))
        times["read groups"].append(await _timed(_read_groups(store, count)))
    await store.close()
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}  # the first fills the file


async def _timed(work: Awaitable[None]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _store(store: SqliteStore, agents: Sequence[AgentInfo]) -> None:
    for first in range(0, len(agents), _CHUNK):
        await store.store_agents(agents[first : first + _CHUNK])


async def _read(store: SqliteStore, count: int) -> None:
    taken, more = 0, True
    while more:
        part, more = await store.changed_agents()
        await store.taken(part)
        taken += len(part)
    assert taken == count


async def _read_groups(store: SqliteStore, count: int) -> None:
    query, found = GroupsQuery("sync_status", set_synced=True, with_hash=True), 0
    while (part := await store.groups(query)).more:
        found += len(part.assignments)
    assert found + len(part.assignments) == count
    assert part.hash


def _plain(path: Path, count: int, runs: int) -> dict[str, float]:
    """The same rows in a table of two columns."""
    times: dict[str, list[float]] = {name: [] for name in _TARGETS}
    for version in range(runs + 1):
        agents = [(agent.id, encode_agent(agent).decode()) for agent in _agents(count, version)]
        groups = [(each.id, ",".join(each.groups)) for each in _groups(count, version)]
        for name, rows in (("store", agents), ("set groups", groups)):
            database = sqlite3.connect(path.with_suffix(f".{name[:3]}"), isolation_level=None)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            if version == 0:
                database.execute(_CREATE)
            began = time.perf_counter()
            database.execute("BEGIN")
            database.executemany(_UPSERT, rows)
            database.execute("COMMIT")
            times[name].append(time.perf_counter() - began)
            began = time.perf_counter()
            found = [text for (text,) in database.execute("SELECT text FROM plain ORDER BY id")]
            if name == "store":
                for first in range(0, count, 1000):
                    decode_agents(b"[" + ",".join(found[first : first + 1000]).encode() + b"]")
            times["read" if name == "store" else "read groups"].append(time.perf_counter() - began)
            database.close()
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def _agents(count: int, version: int) -> list[AgentInfo]:
    """Each version differs from the one before, so that every row is written."""
    return [structs.replace(agent, status_code=version) for agent in make_agents(count)]


def _groups(count: int, version: int) -> list[GroupAssignment]:
    kinds = len(_COMBINATIONS)
    return [GroupAssignment(number, _COMBINATIONS[(number + version) % kinds]) for number in range(1, count + 1)]
