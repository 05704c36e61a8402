"""The tables of ``agents.db``, and how a file of an older version becomes one of this version."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Final

from outrider.codes import Code
from outrider.errors import StoreError

_FIRST = (
    # Who exists. Rows stay small, so that a walk over all agents reads little.
    """CREATE TABLE agent (
        id INTEGER PRIMARY KEY CHECK (id > 0),
        registered INTEGER NOT NULL,  -- Unix seconds at which this store first heard of it
        register_ip TEXT              -- as etc/client.keys has it
    )""",
    # What is known of it: the columns of specification 6.3 as they travel, a JSON object. Labels stand apart,
    # since an update that does not mention them leaves them; NULL: nobody has spoken of them yet.
    """CREATE TABLE information (
        id INTEGER PRIMARY KEY REFERENCES agent ON DELETE CASCADE,
        info TEXT NOT NULL,
        labels TEXT
    )""",
    # Whose information is still to be sent, and the number of the change that made it so. Numbers only grow: who has
    # sent change 7 has not sent change 8.
    """CREATE TABLE unsent (
        id INTEGER PRIMARY KEY REFERENCES agent ON DELETE CASCADE,
        change INTEGER NOT NULL
    )""",
    "CREATE TABLE last_change (number INTEGER NOT NULL)",
    "INSERT INTO last_change VALUES (0)",
    "CREATE TABLE agent_group (name TEXT PRIMARY KEY) WITHOUT ROWID",
    # The groups of an agent are one value: their names in the order of priority, with commas between them.
    """CREATE TABLE assignment (
        id INTEGER PRIMARY KEY REFERENCES agent ON DELETE CASCADE,
        groups TEXT NOT NULL,
        hash TEXT,                    -- specification 6.4; NULL without groups
        unsent INTEGER NOT NULL
    )""",
    "CREATE INDEX unsent_assignment ON assignment (id) WHERE unsent",
)
MIGRATIONS: Final = (_FIRST,)
"""The statements that lead from version N to N + 1, by N."""


def migrate(connection: Connection) -> None:
    """Bring the file to this version, in one transaction; nothing happens if it is there already."""
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # another process may have been faster
        _check(connection, version)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _check(connection: Connection, version: int) -> None:
    if version > len(MIGRATIONS):
        raise StoreError(
            f"it has version {version}, and this Outrider knows versions up to {len(MIGRATIONS)}: "
            "use the Outrider that wrote it, or a newer one"
        ).coded(Code.FOREIGN_DATABASE)
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise StoreError("it is a database of something else: move it away, and an empty one is made").coded(
            Code.FOREIGN_DATABASE
        )
