"""What SQLite says, told as an error of ours: which file, why, and what a person can do."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from outrider.errors import Awaits, DamagedError, Nature, RecordsRefused, StoreBusyError, StoreError

_PRIMARY = 0xFF
"""The part of an extended result code that names its kind."""

_REMEDIES_OF_BUSY = {
    sqlite3.SQLITE_BUSY: "another process holds it: end what holds it, or raise agents.database_timeout",
    sqlite3.SQLITE_LOCKED: "another process holds it: end what holds it, or raise agents.database_timeout",
    sqlite3.SQLITE_PROTOCOL: "another process holds it: end what holds it, or raise agents.database_timeout",
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_IOERR: "the disk failed: look into the system's log, and whether the disk is full",
    sqlite3.SQLITE_CANTOPEN: "check that its folder exists, and the owner and mode of both",
    sqlite3.SQLITE_READONLY: "check the owner and mode of the file and its folder, and whether the disk is read-only",
    sqlite3.SQLITE_PERM: "check the owner and mode of the file and its folder",
    sqlite3.SQLITE_NOMEM: "this machine has no memory left",
    sqlite3.SQLITE_INTERRUPT: "this node is stopping",
}
_AWAITED: Final[Mapping[int, Literal["database", "space", "file"]]] = {
    sqlite3.SQLITE_BUSY: "database",
    sqlite3.SQLITE_LOCKED: "database",
    sqlite3.SQLITE_PROTOCOL: "database",
    sqlite3.SQLITE_FULL: "space",
    sqlite3.SQLITE_CANTOPEN: "file",
    sqlite3.SQLITE_READONLY: "file",
    sqlite3.SQLITE_PERM: "file",
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_REFUSED = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}


def is_locked(error: sqlite3.Error) -> bool:
    """Whether somebody else holds the database, so that waiting may help."""
    return _kind(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is no longer what SQLite wrote."""
    return _kind(error) in _DAMAGED


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """The error of ours that says what ``error`` means for the database at ``path``."""
    kind = _kind(error)
    if kind in _DAMAGED:
        return damaged(path, str(error))
    if kind in _REFUSED:
        return RecordsRefused(str(error))
    if kind in _REMEDIES_OF_BUSY:
        return _busy(path, error, kind)
    return StoreError(f"{path}: {error}")


def _busy(path: Path, error: sqlite3.Error, kind: int) -> StoreBusyError:
    busy = StoreBusyError(f"{path}: {error}; {_REMEDIES_OF_BUSY[kind]}").until(awaits_of(path, error))
    if _AWAITED.get(kind) == "file":
        busy.nature = Nature.PERMANENT
    return busy


def awaits_of(path: Path, error: sqlite3.Error) -> Awaits | None:
    """What tells that the cause of ``error`` at ``path`` is gone, if something does."""
    what = _AWAITED.get(_kind(error))
    return Awaits(what, str(path.absolute())) if what else None


def damaged(path: Path, finding: str) -> StoreError:
    """A file that cannot be read is left as it is: what it holds may still be saved, so a person chooses."""
    return DamagedError(
        f"{path} is damaged ({finding}); put a backup in its place, or move it away together with "
        f"{path.name}-wal and {path.name}-shm, and an empty one is made"
    ).until(Awaits("file", str(path.absolute())))


def _kind(error: sqlite3.Error) -> int:
    # Errors of the module itself, such as a closed connection, carry no code.
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & _PRIMARY
