"""Causes that go away, seen from outside: on a real disk, a real database, a real socket."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from outrider.errors import Awaits
from outrider.store.awaited import Awaited
from outrider.world import real_ports


async def waiting(what: str, path: Path) -> Awaited:
    awaited = Awaited(Awaits(what, str(path)), real_ports())  # type: ignore[arg-type]
    await awaited.begin()
    return awaited


def test_a_file_that_appears_or_changes_ends_the_wait_and_its_neighbours_do_not(tmp_path: Path) -> None:
    async def story() -> None:
        file = tmp_path / "missing" / "key"
        awaited = await waiting("file", file)
        assert not await awaited.gone()
        file.parent.mkdir()
        assert await awaited.gone()
        awaited = await waiting("file", file)
        (file.parent / "another").touch()
        assert not await awaited.gone()
        file.write_text("a")
        assert await awaited.gone()
        awaited = await waiting("file", file)
        file.chmod(0o640)
        assert await awaited.gone()

    asyncio.run(story())


def test_a_locked_database_ends_the_wait_when_its_lock_is_gone_and_stays_as_it_was(tmp_path: Path) -> None:
    async def story() -> None:
        file = tmp_path / "agents.db"
        with closing(sqlite3.connect(file, isolation_level=None)) as holder:
            holder.execute("CREATE TABLE t (x)")
            holder.execute("BEGIN IMMEDIATE")
            awaited = await waiting("database", file)
            assert not await awaited.gone()
            holder.execute("COMMIT")
            assert await awaited.gone()
        file.write_bytes(b"no database at all" * 100)
        assert await awaited.gone(), "a try tells better what is wrong"

    asyncio.run(story())


def test_a_socket_ends_the_wait_when_somebody_answers_there(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "wdb"
        awaited = await waiting("socket", path)
        assert not await awaited.gone()
        served = asyncio.Event()

        def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.set()
            writer.close()

        server = await asyncio.start_unix_server(serve, path)
        assert await awaited.gone()
        await served.wait()
        server.close()
        path.unlink(missing_ok=True)
        assert not await awaited.gone()

    asyncio.run(story())


def test_room_ends_the_wait_when_there_is_more_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = 10

    def statvfs(path: Path) -> SimpleNamespace:
        assert path == tmp_path, "the nearest folder that is there"
        return SimpleNamespace(f_bavail=blocks, f_frsize=1 << 20)

    async def story() -> None:
        nonlocal blocks
        awaited = await waiting("space", tmp_path / "missing" / "file")
        assert not await awaited.gone()
        blocks = 11
        assert await awaited.gone()

    monkeypatch.setattr(os, "statvfs", statvfs)
    asyncio.run(story())
