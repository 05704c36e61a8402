"""The file behind the embedded store: locked, damaged, of another version, without rights, on a full disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.sqlite_store import agent, open_store, with_a_name_that_is_no_text, with_store

from outrider.errors import DamagedError, RecordsRefused, StoreBusyError, StoreError
from outrider.model import GroupAssignment
from outrider.store.agents import GroupsQuery
from outrider.store.sqlite import SqliteStore
from outrider.store.sqlite.faults import store_error
from outrider.store.sqlite.schema import MIGRATIONS

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


def _file(home: Path) -> Path:
    return home / ".outrider" / "agents.db"


@contextmanager
def _held_by_another_process(home: Path) -> Iterator[subprocess.Popen[str]]:
    """The write lock is elsewhere until a line is written to the process, or it ends."""
    command = [sys.executable, "-c", HOLD, str(_file(home))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


async def _put_one(store: SqliteStore) -> None:
    await store.put([agent(1)])


def _let_go(holder: subprocess.Popen[str]) -> None:
    assert holder.stdin
    holder.stdin.write("\n")
    holder.stdin.flush()


def test_threat_46_a_locked_database_is_waited_for_and_holds_up_no_reader(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await _put_one(store)
        with _held_by_another_process(tmp_path) as holder:
            writing = [asyncio.create_task(store.put([agent(number)])) for number in (2, 3)]
            for _ in range(20):
                assert [each.id for each in (await store.agents()).agents] == [1]
            assert not any(task.done() for task in writing)
            _let_go(holder)
            await asyncio.gather(*writing)
        assert [each.id for each in (await store.agents()).agents] == [1, 2, 3]

    with_store(tmp_path, story, timeout_s=60)


def test_threat_46_a_database_that_stays_locked_is_told_with_a_remedy(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await _put_one(store)
        with _held_by_another_process(tmp_path):
            for _ in range(2):  # the connection is as good as before
                with pytest.raises(StoreBusyError, match=r"locked; another process holds it.*agents\.database_timeout"):
                    await store.put([agent(2)])
        await store.put([agent(2)])

    with_store(tmp_path, story, timeout_s=0.2)


def test_threat_46_who_stops_a_node_does_not_wait_for_the_lock(tmp_path: Path) -> None:
    async def story() -> None:
        store = open_store(tmp_path, timeout_s=3600)
        await _put_one(store)
        with _held_by_another_process(tmp_path):
            writing = asyncio.create_task(store.put([agent(2)]))
            await asyncio.sleep(0.05)
            await asyncio.wait_for(store.close(), 10)
            with pytest.raises(StoreBusyError):
                await writing

    asyncio.run(story())


def test_a_caller_that_is_cancelled_leaves_while_its_work_goes_on(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await _put_one(store)
        with _held_by_another_process(tmp_path) as holder:
            writing = asyncio.create_task(store.put([agent(2)]))
            waiting = asyncio.create_task(store.put([agent(3)]))
            await asyncio.sleep(0.05)
            for task in (writing, waiting):
                task.cancel()
            await asyncio.wait([writing, waiting], timeout=10)
            assert writing.cancelled()
            assert waiting.cancelled()
            _let_go(holder)
            await store.put([agent(4)])
        # The first had begun and a thread cannot be stopped; the second had not.
        assert [each.id for each in (await store.agents()).agents] == [1, 2, 4]

    with_store(tmp_path, story, timeout_s=60)


def test_two_stores_may_use_one_file(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        other = open_store(tmp_path)
        await asyncio.gather(
            *(each.put([agent(10 * turn + place)]) for turn in range(10) for place, each in ((1, store), (2, other)))
        )
        await other.close()
        assert len((await store.agents()).agents) == 20

    with_store(tmp_path, story)


def test_a_file_that_is_no_database_stays_and_is_told_with_a_remedy(tmp_path: Path) -> None:
    _file(tmp_path).parent.mkdir()
    _file(tmp_path).write_bytes(b"precious notes " * 100)

    async def story(store: SqliteStore) -> None:
        for _ in range(2):
            with pytest.raises(StoreError, match=r"is damaged \(file is not a database\); put a backup in its place"):
                await store.changed_agents()
        assert _file(tmp_path).read_bytes() == b"precious notes " * 100
        _file(tmp_path).unlink()
        await _put_one(store)  # the running node finds that the file is gone, and makes one

    with_store(tmp_path, story)


def test_threat_40_a_row_that_is_none_is_damage_with_a_remedy(tmp_path: Path) -> None:
    """SQLite's pages are whole: only whoever reads the row can tell."""
    with_store(tmp_path, _put_one)
    with contextlib.closing(sqlite3.connect(_file(tmp_path))) as db, db:
        db.execute("""UPDATE information SET info = '{"id":1,' || char(0)""")

    async def story(store: SqliteStore) -> None:
        for ask in (store.changed_agents, store.agents):
            with pytest.raises(StoreError, match=r"is damaged \(JSON is malformed.*put a backup in its place"):
                await ask()

    with_store(tmp_path, story)


def test_threat_40_a_schema_that_sqlite_cannot_put_into_words_is_damage(tmp_path: Path) -> None:
    with_store(tmp_path, _put_one)
    with_a_name_that_is_no_text(_file(tmp_path))

    async def story(store: SqliteStore) -> None:
        with pytest.raises(StoreError, match=r"is damaged .*put a backup in its place"):
            await store.changed_agents()

    with_store(tmp_path, story)


def test_a_database_with_a_broken_page_is_found_when_it_is_opened(tmp_path: Path) -> None:
    async def fill(store: SqliteStore) -> None:
        await store.put([agent(number, os_uname="x" * 500) for number in range(1, 300)])

    async def story(store: SqliteStore) -> None:
        with pytest.raises(StoreError, match="is damaged"):
            await store.groups(GroupsQuery())

    with_store(tmp_path, fill)
    with _file(tmp_path).open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 4096)
    with_store(tmp_path, story)


def test_an_empty_file_becomes_a_database_of_this_version(tmp_path: Path) -> None:
    with_store(tmp_path, _put_one)
    connection = sqlite3.connect(_file(tmp_path))
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert stat.S_IMODE(_file(tmp_path).stat().st_mode) & 0o007 == 0


def test_a_file_of_a_newer_version_is_refused_and_stays(tmp_path: Path) -> None:
    with_store(tmp_path, _put_one)
    connection = sqlite3.connect(_file(tmp_path))
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()

    async def story(store: SqliteStore) -> None:
        with pytest.raises(StoreError, match=r"agents\.db cannot be used: it has version 2.* use the Outrider"):
            await store.put([agent(2)])

    with_store(tmp_path, story)


def test_a_database_of_something_else_is_refused_and_stays(tmp_path: Path) -> None:
    _file(tmp_path).parent.mkdir()
    connection = sqlite3.connect(_file(tmp_path))
    connection.execute("CREATE TABLE precious (note TEXT)")
    connection.close()

    async def story(store: SqliteStore) -> None:
        with pytest.raises(StoreError, match="a database of something else: move it away"):
            await store.put([agent(2)])

    with_store(tmp_path, story)


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_store(tmp_path, _put_one)
    target = "outrider.store.sqlite.schema.MIGRATIONS"
    monkeypatch.setattr(target, (*MIGRATIONS, ("CREATE TABLE fine (a)", "CREATE TABLE agent (a)")))

    async def story(store: SqliteStore) -> None:
        with pytest.raises(StoreError, match="table agent already exists"):
            await store.put([agent(2)])

    with_store(tmp_path, story)
    monkeypatch.setattr(target, (*MIGRATIONS, ("CREATE TABLE fine (a)",)))
    with_store(tmp_path, _put_one)
    connection = sqlite3.connect(_file(tmp_path))
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    connection.close()


def test_a_place_where_no_file_can_be_made_is_told_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / ".outrider").touch()

    async def story(store: SqliteStore) -> None:
        with pytest.raises(StoreBusyError, match="check what it is, its owner and its mode"):
            await _put_one(store)
        (tmp_path / ".outrider").unlink()
        await _put_one(store)

    with_store(tmp_path, story)


def test_threat_33_a_full_disk_changes_nothing_and_the_same_works_later(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await _put_one(store)
        # SQLite itself says that there is no room; what stands is what a full disk leaves.
        await store._database.write(lambda db: db.execute("PRAGMA max_page_count = 20"))
        with pytest.raises(StoreBusyError, match="full; the disk is full: free some space"):
            await store.put([agent(number, os_uname="x" * 500) for number in range(1, 1000)])
        assert len((await store.agents()).agents) == 1
        await store.put([agent(number, os_uname="x" * 500) for number in range(1, 1000)])
        assert len((await store.groups(GroupsQuery("all"))).assignments) == 999

    with_store(tmp_path, story)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    with_store(tmp_path, _put_one)
    _file(tmp_path).chmod(0o440)

    async def story(store: SqliteStore) -> None:
        with pytest.raises(StoreBusyError, match="check what it is, its owner and its mode"):
            await store.set_groups([GroupAssignment(1, ("a",))])

    with_store(tmp_path, story)


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (sqlite3.SQLITE_IOERR_WRITE, StoreBusyError, "the disk failed"),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreBusyError, "owner and mode"),
        (sqlite3.SQLITE_CONSTRAINT_CHECK, RecordsRefused, "told by sqlite"),
        (sqlite3.SQLITE_CORRUPT, DamagedError, "is damaged"),
        (sqlite3.SQLITE_MISUSE, StoreError, "told by sqlite"),
    ],
)
def test_what_sqlite_says_becomes_an_error_of_ours(code: int, kind: type[StoreError], text: str) -> None:
    error = sqlite3.OperationalError("told by sqlite")
    error.sqlite_errorcode = code
    found = store_error(Path("agents.db"), error)
    assert type(found) is kind
    assert text in str(found)
