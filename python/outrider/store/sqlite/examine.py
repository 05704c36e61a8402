"""Whether an SQLite file of ours is whole, looked at beside whoever uses it; nothing is changed.

SQLite's own check knows of pages and rows; whether a row holds what this node can read is looked at here.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from outrider.printable import counted
from outrider.store.sqlite.agents import decoded
from outrider.store.sqlite.assigning import group_hash

_WAIT_S = 10
_SHOWN = 5


def faults(path: Path) -> Iterator[str]:
    """What SQLite finds wrong with the file; of agents: hashes that are not their groups' (6.4), rows that are none."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)) as db:
            found = [row[0] for row in db.execute(f"PRAGMA integrity_check({_SHOWN})")]
            if found != ["ok"]:
                yield from found
            elif db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'assignment'").fetchone()[0]:
                yield from _wrong_hashes(db)
                yield from _wrong_rows(db)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite's words repeat what it found
        yield str(error)


def _wrong_hashes(db: sqlite3.Connection) -> Iterator[str]:
    rows = db.execute("SELECT groups, hash, count(*), min(id) FROM assignment GROUP BY groups, hash")
    for groups, digest, agents, first in rows:
        if group_hash(groups) != digest:
            whose = f"{counted(agents, 'agent')}, the first is {first:03},"
            yield f"the hash of {whose} is not that of the groups {groups!r}"


def _wrong_rows(db: sqlite3.Connection) -> Iterator[str]:
    db.text_factory = bytes
    wrong = 0
    for number, info, labels in db.execute("SELECT id, info, labels FROM information ORDER BY id"):
        try:
            decoded([(info, labels)])
        except (TypeError, ValueError) as error:
            yield f"what is kept of agent {number:03} cannot be read: {error}"
            wrong += 1
            if wrong == _SHOWN:
                return
