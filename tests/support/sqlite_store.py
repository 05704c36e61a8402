"""An embedded store for a test, and agents to put into it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from outrider.model import AgentInfo, Label
from outrider.store.sqlite import SqliteStore
from outrider.world import ThreadPool

T = TypeVar("T")
NOW = 1_800_000_000.0


def agent(number: int, **columns: Any) -> AgentInfo:
    """An agent with little known of it."""
    known = {"name": f"agent-{number:04}", "connection_status": "active", **columns}
    return AgentInfo(id=number, **known)


def full_agent(number: int, **columns: Any) -> AgentInfo:
    """An agent with every column that a real one has, 589 bytes of JSON."""
    known = {
        "ip": "10.1.0.1",
        "os_name": "Debian GNU/Linux",
        "os_version": "12",
        "os_major": "12",
        "os_codename": "bookworm",
        "os_platform": "debian",
        "os_uname": f"Linux |host-{number:06} |6.1.0-18-amd64 |#1 SMP PREEMPT_DYNAMIC Debian",
        "os_arch": "x86_64",
        "version": "Wazuh v4.9.2",
        "config_sum": "ab73af41699f13fdd81903b5f23d8d00",
        "merged_sum": "4a8724b20dee0124ff9656783c490c4e",
        "manager_host": "wrk",
        "node_name": "worker1",
        "last_keepalive": 1_700_001_000,
        "disconnection_time": 0,
        "group_config_status": "synced",
        "status_code": 0,
        "labels": (Label(number, "k", f"v{number}"),),
    }
    return agent(number, **{**known, **columns})


def open_store(home: Path, **options: Any) -> SqliteStore:
    """The store of a node at ``home``; its clock stands at :data:`NOW` unless ``wall`` is given."""
    known = {"threads": ThreadPool(4), "wall": lambda: NOW, "timeout_s": 5.0, **options}
    return SqliteStore(home / ".outrider" / "agents.db", known.pop("threads"), **known)


def with_a_name_that_is_no_text(file: Path) -> None:
    """What a bit that flips can make of a schema: SQLite's own words about it are no UTF-8."""
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET name = CAST(x'9b9b' AS TEXT), sql = 'CREATE rubbish' WHERE type = 'table'")


def with_store(home: Path, story: Callable[[SqliteStore], Awaitable[T]], **options: Any) -> T:
    """Run ``story`` with a store that is closed at its end."""

    async def told() -> T:
        store = open_store(home, **options)
        try:
            return await story(store)
        finally:
            await store.close()

    return asyncio.run(told())
