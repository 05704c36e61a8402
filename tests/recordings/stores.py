"""What a node of a recording keeps its agents in, and a second door to it, as the command line has one."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.memory_agents import MemoryAgents
from tests.support.sqlite_store import open_store
from tests.support.wazuh_db import WazuhDbDaemon
from tests.support.wazuh_db_store import StoreAnswers

from outrider.model import AgentInfo
from outrider.store.agents import AgentStore
from outrider.store.sqlite import SqliteStore

STORES = ["sqlite", "wazuh-db"]


@contextlib.asynccontextmanager
async def kept(kind: str, home: Path) -> AsyncIterator[tuple[dict[str, Any], AgentStore]]:
    """Settings of a node at ``home`` that keeps its agents so, and its store."""
    if kind == "sqlite":
        store = open_store(home)
        try:
            yield {"agents__store": kind}, store
        finally:
            await store.close()
    else:
        memory = MemoryAgents()
        with tempfile.TemporaryDirectory() as folder:  # the path of a socket must be short
            async with WazuhDbDaemon(Path(folder) / "wdb", StoreAnswers(memory)) as daemon:
                yield {"agents__store": kind, "agents__wazuh_db_socket": str(daemon.path)}, memory


async def hear(store: AgentStore, agents: Sequence[AgentInfo]) -> None:
    """These agents have reported to the node of :func:`kept`."""
    if isinstance(store, SqliteStore):
        await store.put(agents)
    else:
        assert isinstance(store, MemoryAgents)
        store.agents |= {agent.id: agent for agent in agents}
        store.changed |= {agent.id for agent in agents}


async def heard(store: AgentStore, number: int) -> AgentInfo | None:
    """What the node of :func:`kept` knows of an agent."""
    if isinstance(store, SqliteStore):
        known = await store.agent(number)
        return known.info if known else None
    assert isinstance(store, MemoryAgents)
    return store.agents.get(number)
