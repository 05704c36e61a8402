"""One SQLite file in threads: one writer, a few readers, each piece of work one transaction.

The file is opened by the first work that needs it and again after an error, so that a node starts and
goes on without it. A caller that is cancelled leaves at once; its work runs to its end and holds its
place until then, since a thread cannot be stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from outrider.errors import StoreBusyError, StoreError
from outrider.ports import Threads
from outrider.store.sqlite.faults import damaged, is_locked, store_error
from outrider.store.sqlite.schema import migrate

P = ParamSpec("P")
T = TypeVar("T")

READERS: Final = 2
"""With the writer, the most threads of a node that a slow database can hold."""
_STEP_S = 0.1
"""SQLite waits this long for a lock before we look whether the node is stopping."""
_FILE_MODE, _FOLDER_MODE = 0o660, 0o770
_WAL_BYTES = 16 * 1024 * 1024
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # A crash of the process loses nothing; a power failure may lose the last moments, and those whole.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA journal_size_limit = {_WAL_BYTES}",
)


class Database:
    """See the module. ``timeout_s`` is the longest wait for a lock that another process holds."""

    def __init__(self, path: Path, threads: Threads, timeout_s: float) -> None:
        self._path = path
        self._threads = threads
        self._attempts = max(1, math.ceil(timeout_s / _STEP_S))
        self._writers: list[Connection] = []
        self._readers: list[Connection] = []
        self._writing = asyncio.Semaphore(1)
        self._reading = asyncio.Semaphore(READERS)
        self._running: set[asyncio.Future[Any]] = set()
        self._checked = False
        self._closing = False

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` on a view of the database that does not change meanwhile."""

        def reading(db: Connection) -> T:
            try:
                return work(db, *args, **kwargs)
            except ValueError as error:  # SQLite's pages are whole, and what lies in one is no row of ours
                raise damaged(self._path, str(error)) from error

        return await self._in_turn(self._reading, self._readers, "BEGIN", reading)

    async def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` as one transaction: everything that it writes stands, or nothing if it raises.

        It runs again from its beginning if another process held the database.
        """
        return await self._in_turn(
            self._writing, self._writers, "BEGIN IMMEDIATE", lambda db: work(db, *args, **kwargs)
        )

    async def close(self) -> None:
        """Let running work end, waiting for no lock any more, and free everything."""
        self._closing = True
        while self._running:
            await asyncio.wait(self._running)
        await self._threads.run(self._close_connections)

    async def _in_turn(
        self, gate: asyncio.Semaphore, idle: list[Connection], begin: str, work: Callable[[Connection], T]
    ) -> T:
        await gate.acquire()
        running = asyncio.ensure_future(self._threads.run(self._patiently, idle, begin, work))
        self._running.add(running)

        def ended(running: asyncio.Future[T]) -> None:
            self._running.discard(running)
            gate.release()
            if not running.cancelled():
                running.exception()  # its caller may have left

        running.add_done_callback(ended)
        return await asyncio.shield(running)

    def _patiently(self, idle: list[Connection], begin: str, work: Callable[[Connection], T]) -> T:
        """Try until the database is free, the time is up or the node stops."""
        attempts = self._attempts
        while not self._closing:
            try:
                return self._attempt(idle, begin, work)
            except sqlite3.Error as error:
                attempts -= 1
                if attempts <= 0 or not is_locked(error):
                    raise store_error(self._path, error) from error
        raise StoreBusyError(f"{self._path}: the node is stopping")

    def _attempt(self, idle: list[Connection], begin: str, work: Callable[[Connection], T]) -> T:
        connection = idle.pop() if idle else self._open()
        try:
            connection.execute(begin)
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            if isinstance(error, sqlite3.Error) and not is_locked(error):
                connection.close()  # the next work opens the file again, and looks whether it is whole
                self._checked = False
            else:
                self._undo(connection, idle)
            raise
        idle.append(connection)
        return result

    def _undo(self, connection: Connection, idle: list[Connection]) -> None:
        """The work refused or must wait; the connection is as good as before."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            connection.close()
        else:
            idle.append(connection)

    def _open(self) -> Connection:
        self._make_file()
        connection = sqlite3.connect(self._path, timeout=_STEP_S, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            self._check(connection)
            migrate(connection)
            connection.text_factory = bytes
        except StoreError as error:
            connection.close()
            raise StoreError(f"{self._path} cannot be used: {error}").like(error) from error
        except UnicodeDecodeError as error:  # SQLite's own words repeat what it found, and that is no text
            connection.close()
            raise damaged(self._path, str(error)) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_file(self) -> None:
        """Make a new file with a mode of ours: SQLite would take one of its own choice.

        A file that is there is never opened here. Closing it again would give up every lock that this process has on
        it, and the next process to come would take the log away from under us (SQLite, "How to corrupt", 2.2).
        """
        try:
            self._path.parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE))
            if not os.access(self._path, os.R_OK | os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self._path))
        except OSError as error:
            raise StoreBusyError(
                f"cannot open {error.filename or self._path}: {error.strerror}; "
                "check what it is, its owner and its mode",
                error.errno,
                str(error.filename or self._path),
            ) from error

    def _check(self, connection: Connection) -> None:
        """Look once, and again after an error, whether the file is whole: better now than in the middle of a batch."""
        if not self._checked:
            finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if finding != "ok":
                raise damaged(self._path, str(finding))
            self._checked = True

    def _close_connections(self) -> None:
        for idle in (self._readers, self._writers):
            while idle:
                idle.pop().close()
