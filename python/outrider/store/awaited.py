"""Whether the cause of an error is gone: looked at from outside, cheaply, and through the ports alone.

A look changes nothing and waits for nobody: a probe that a busy database or a full disk would feel is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Final, cast

from outrider.errors import Awaits, TransportError
from outrider.ports import Network, Ports

_LOCKED: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_ROOM: Final = 1 << 20
"""Bytes that must have become free."""


class Awaited:
    """What one error waits for; a look before the wait tells what must have changed."""

    def __init__(self, awaits: Awaits, ports: Ports) -> None:
        self._awaits = awaits
        self._ports = ports
        self._before: Hashable = None

    async def begin(self) -> None:
        """Look at it as it is while it stands in the way."""
        match self._awaits.what:
            case "file":
                self._before = await self._look(_stamp)
            case "space":
                self._before = await self._look(_free)

    async def gone(self) -> bool:
        """Whether a try is worth it now."""
        match self._awaits.what:
            case "file":
                return await self._look(_stamp) != self._before
            case "space":
                return cast("int", await self._look(_free)) >= cast("int", self._before) + _ROOM
            case "database":
                return bool(await self._look(_unlocked))
            case "socket":
                return await _answers(self._ports.network, Path(self._awaits.path))

    async def _look(self, look: Callable[[Path], Hashable]) -> Hashable:
        return await self._ports.threads.run(look, Path(self._awaits.path))


def _stamp(path: Path) -> Hashable:
    """What a file looks like, and whether it, or the folder that it is to lie in, may be written."""
    near = _nearest(path)
    able = os.access(near, os.R_OK), os.access(near, os.W_OK)
    try:
        found = path.stat()
    except OSError:
        return near, able
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, able


def _free(path: Path) -> int:
    try:
        found = os.statvfs(_nearest(path))
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _unlocked(path: Path) -> bool:
    """Whether a writer would get in at once; whatever else is wrong with the database, a try tells better."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF not in _LOCKED
    except sqlite3.Error:
        return True
    return True


def _nearest(path: Path) -> Path:
    """The path itself, or the folder nearest to it that is there."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


async def _answers(network: Network, path: Path) -> bool:
    """Whether a program takes a connection there; it is closed again before a word."""
    try:
        await network.dial_local(path, _Knock)
    except TransportError:
        return False
    return True


class _Knock(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()
