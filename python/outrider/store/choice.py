"""Which store of agents the settings choose."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from outrider.ports import Ports
from outrider.settings import Settings
from outrider.store.agents import AgentStore
from outrider.store.sqlite import SqliteStore
from outrider.store.wazuh_db import open_wazuh_db

AGENTS_FILE = ".outrider/agents.db"
"""Below the home."""


async def open_agents(settings: Settings, ports: Ports) -> AgentStore:
    """The store of this node. It touches no disk yet: a store that cannot be used is no reason not to start."""
    if settings.agents.store == "wazuh-db":
        return open_wazuh_db(settings, ports.network)
    return embedded(settings, ports)


def agents_file(settings: Settings) -> Path:
    """Where the embedded store lies."""
    return settings.node.home.resolve() / AGENTS_FILE


@contextlib.asynccontextmanager
async def agents_of(settings: Settings, ports: Ports, own: AgentStore | None) -> AsyncIterator[AgentStore]:
    """The store of a node while it runs: the host's ``own``, which the host closes, or that of the settings."""
    if own is not None:
        yield own
        return
    store = await open_agents(settings, ports)
    try:
        yield store
    finally:
        await store.close()


def embedded(settings: Settings, ports: Ports) -> SqliteStore:
    """The file of this node's own."""
    return SqliteStore(
        agents_file(settings),
        ports.threads,
        wall=ports.wall,
        unknown=settings.agents.unknown,
        timeout_s=settings.agents.database_timeout,
    )
