"""The embedded store of agents: one SQLite file of this node's own."""

from outrider.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
