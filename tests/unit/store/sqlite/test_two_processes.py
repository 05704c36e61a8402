"""Another process that comes and goes leaves the file as it was for those who stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.sqlite_store import agent, with_store

from outrider.store.agents import GroupsQuery
from outrider.store.sqlite import SqliteStore

_VISIT = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); print(db.execute(sys.argv[2]).fetchone()[0])"


def test_a_visitor_sees_everything_and_takes_no_log_away(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        file = tmp_path / ".outrider" / "agents.db"
        log = file.with_name("agents.db-wal")

        def visit() -> int:
            command = [sys.executable, "-c", _VISIT, str(file), "SELECT count(*) FROM agent"]
            return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

        await store.store_agents([agent(1)])
        await store.groups(GroupsQuery("all"))  # a second connection, which must not give up the first one's locks
        before = log.stat().st_ino
        assert visit() == 1
        await store.store_agents([agent(2)])
        assert log.stat().st_ino == before
        assert visit() == 2

    with_store(tmp_path, story)
