"""What was read from the store of agents and no master has confirmed yet: an SQLite file of its own.

A chunk is here before the store counts its agents as taken, and stays until it is confirmed; what a
master refuses for good is put aside, one version of each agent. The file also says whether the last
run came to an orderly end: if not, something may have been lost between a wazuh-db's answer and
this file, and every agent is to be sent once more. No file at all says the same, and a file that is
found damaged makes room for a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import msgspec
from msgspec import DecodeError, Struct
from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

from outrider.codes import Code
from outrider.errors import StoreBusyError, StoreError
from outrider.ports import Threads
from outrider.store.home import remove
from outrider.store.sqlite.faults import awaits_of, is_damage
from outrider.sync.agent_info import halves

P = ParamSpec("P")
T = TypeVar("T")

FILE = Path(".outrider/outbox.db")
_SPACE = 1 << 20
"""Between the ids of two chunks that were put, so that the halves of a chunk keep its place."""
_PATIENCE_S = 5
_LEVEL = 1
"""Of compression: agents are so alike that this writes a tenth, in less time than writing all of it takes."""
_SCHEMA = """
create table if not exists chunks(id integer primary key, packed blob not null);
create table if not exists aside(agent integer primary key, record blob not null, why text not null, at real not null);
create table if not exists orderly(yes integer not null);
insert into orderly select 0 where not exists (select * from orderly);
"""


class Chunk(NamedTuple):
    """A JSON array of agents; of two the one with the lower id was put first."""

    id: int
    text: bytes


class PutAside(NamedTuple):
    """A record that no master takes; ``at`` is in Unix seconds."""

    record: bytes
    why: str
    at: float


class _Named(Struct):
    id: int


class Outbox:
    """See the module. Its work is done in threads, one piece at a time."""

    def __init__(self, home: Path, threads: Threads) -> None:
        self.path = home / FILE
        self.all_again = True
        """Whether something may have been lost; for whoever sees to it to reset."""
        self.damaged: Path | None = None
        """Where a file that could not be read any more was moved to."""
        self._threads = threads
        self._one = threading.Lock()  # a caller that is cancelled leaves its thread at work
        self._db: sqlite3.Connection | None = None
        self._closed = True
        self._turn = asyncio.Lock()
        self._bringing: set[asyncio.Future[Any]] = set()

    async def put(self, chunks: Sequence[bytes]) -> None:
        """Keep chunks behind those that are here; when this returns no crash of the node loses them."""
        await self._run(_put, chunks)

    async def oldest(self, most: int) -> list[Chunk]:
        """The chunks that have waited longest."""
        return await self._run(_oldest, most)

    async def count(self) -> int:
        """How many chunks wait."""
        return await self._run(_count, "chunks")

    async def confirmed(self, chunks: Sequence[Chunk]) -> None:
        """A master has these."""
        await self._run(_confirmed, chunks)

    async def split(self, chunk: Chunk) -> None:
        """Put the halves of a chunk of several records in its place."""
        await self._run(_split, chunk)

    async def put_aside(self, records: Sequence[PutAside], chunk: Chunk | None = None) -> None:
        """Keep records out of the way; ``chunk`` held nothing else and goes with them."""
        await self._run(_put_aside, records, chunk)

    async def aside(self) -> list[PutAside]:
        """What was put aside, by agent."""
        return await self._run(_aside)

    async def count_aside(self) -> int:
        """How many records were put aside."""
        return await self._run(_count, "aside")

    async def bring(self, part: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do ``part``, which brings agents from their store to here; one that fails may have lost them.

        One at a time, and to its end though its caller is cancelled.
        """
        bringing = asyncio.ensure_future(self._bring(part))
        self._bringing.add(bringing)
        bringing.add_done_callback(self._bringing.discard)
        return await asyncio.shield(bringing)

    async def _bring(self, part: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._turn:
            try:
                return await part()
            except BaseException:
                self.all_again = True
                raise

    async def settled(self) -> None:
        """Wait for what is still being brought, but not for a database that hangs: that counts as lost."""
        if self._bringing:
            _, late = await asyncio.wait(self._bringing, timeout=_PATIENCE_S)
            for bringing in late:
                bringing.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def open(self) -> None:
        """Open or make the file; one that is damaged makes room for a new one. For a thread.

        What fails here is tried again whenever the outbox is used.
        """
        with self._one, _store_error(self.path):
            self._closed = False
            self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            db = _connect(self.path)
        except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite's words repeat what it found
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
            self._make_room()
            db = _connect(self.path)
        try:
            self.all_again = not _orderly(db)
            _mark(db, orderly=False)
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def close(self, *, orderly: bool) -> None:
        """Close the file, saying whether this is an orderly end with nothing lost. For a thread."""
        with self._one, _store_error(self.path):
            db, self._db, self._closed = self._db, None, True
            if db is not None:
                with contextlib.closing(db):
                    _mark(db, orderly=orderly and not self.all_again)

    async def _run(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._threads.run(self._do, work, *args, **kwargs)

    def _do(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self._one, _store_error(self.path):
            if self._closed:
                raise StoreError(f"{self.path} is closed").coded(Code.NOT_RUNNING)
            db = self._db or self._open()
            try:
                with db:
                    return work(db, *args, **kwargs)
            except (sqlite3.Error, ZstdError, DecodeError, UnicodeDecodeError) as error:
                if isinstance(error, sqlite3.Error) and not is_damage(error):
                    raise
                self._db = None
                db.close()
                gone = f"{self.path} is damaged ({error}) and is now {self._make_room()}"
                raise StoreError(f"{gone}; all agents are sent again").coded(Code.DAMAGED) from error

    def _make_room(self) -> Path:
        """Whatever was in a damaged file is sent again; it stays beside, for a person to look at."""
        self.all_again = True
        self.damaged = self.path.replace(self.path.with_suffix(".db.damaged"))
        for kind in ("-wal", "-shm"):
            remove(self.path.with_name(self.path.name + kind))
        return self.damaged


@asynccontextmanager
async def outbox_of(home: Path, threads: Threads) -> AsyncIterator[Outbox]:
    """The outbox of the node that runs on ``home``; an end without an error is an orderly one.

    A file that is locked or has no room stops no node: agent information waits until it can be opened.
    """
    outbox = Outbox(home, threads)
    with contextlib.suppress(StoreError):  # whoever uses it is told
        await threads.run(outbox.open)
    orderly = False
    try:
        yield outbox
        orderly = True
    except asyncio.CancelledError:
        orderly = True
        raise
    finally:
        await outbox.settled()
        with contextlib.suppress(StoreError):  # without its mark everything is sent again, which is never wrong
            await threads.run(outbox.close, orderly=orderly)


def look(home: Path) -> list[PutAside]:
    """What was put aside on ``home``, whether a node runs there or not. For a thread."""
    path = home / FILE
    if not path.exists():
        return []
    with _store_error(path), contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        return _aside(db)


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(exist_ok=True)
    db = sqlite3.connect(path, timeout=5, check_same_thread=False)
    try:
        db.execute("pragma journal_mode = wal")
        # A crash of the node loses nothing; after one of the machine every agent is sent again anyway.
        db.execute("pragma synchronous = normal")
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def _orderly(db: sqlite3.Connection) -> bool:
    return bool(db.execute("select yes from orderly").fetchone()[0])


def _mark(db: sqlite3.Connection, *, orderly: bool) -> None:
    """Durably: the one thing that must be true after the machine has crashed as well."""
    db.execute("pragma synchronous = full")
    with db:
        db.execute("update orderly set yes = ?", (orderly,))
    db.execute("pragma synchronous = normal")


def _put(db: sqlite3.Connection, chunks: Sequence[bytes]) -> None:
    (last,) = db.execute("select coalesce(max(id), 0) from chunks").fetchone()
    first = last // _SPACE + 1
    pack = ZstdCompressor(_LEVEL).compress
    db.executemany(
        "insert into chunks values (?, ?)", [(at * _SPACE, pack(text)) for at, text in enumerate(chunks, first)]
    )


def _oldest(db: sqlite3.Connection, most: int) -> list[Chunk]:
    unpack = ZstdDecompressor().decompress
    rows = db.execute("select id, packed from chunks order by id limit ?", (most,))
    return [Chunk(number, unpack(packed)) for number, packed in rows]


def _count(db: sqlite3.Connection, table: str) -> int:
    count: int = db.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608  (one of two names of ours)
    return count


def _confirmed(db: sqlite3.Connection, chunks: Sequence[Chunk]) -> None:
    db.executemany("delete from chunks where id = ?", [(chunk.id,) for chunk in chunks])


def _split(db: sqlite3.Connection, chunk: Chunk) -> None:
    pack = ZstdCompressor(_LEVEL).compress
    first, second = map(pack, halves(chunk.text))
    (after,) = db.execute("select min(id) from chunks where id > ?", (chunk.id,)).fetchone()
    end = after or (chunk.id // _SPACE + 1) * _SPACE
    db.execute("update chunks set packed = ? where id = ?", (first, chunk.id))
    db.execute("insert into chunks values (?, ?)", ((chunk.id + end) // 2, second))


def _put_aside(db: sqlite3.Connection, records: Sequence[PutAside], chunk: Chunk | None) -> None:
    rows = [(msgspec.json.decode(one.record, type=_Named).id, *one) for one in records]
    db.executemany("insert or replace into aside values (?, ?, ?, ?)", rows)
    if chunk is not None:
        db.execute("delete from chunks where id = ?", (chunk.id,))


def _aside(db: sqlite3.Connection) -> list[PutAside]:
    return [PutAside(*row) for row in db.execute("select record, why, at from aside order by agent")]


@contextlib.contextmanager
def _store_error(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreBusyError(f"cannot use {path}: {error}; is its disk full, or its owner another?").until(
            awaits_of(path, error)
        ) from error
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"cannot use {path}: {error}; move it away: all agents are then sent once more").coded(
            Code.DAMAGED
        ) from error
