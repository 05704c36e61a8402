"""Clients and stores of a stand-in wazuh-db, over its real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.support.wazuh_db import WazuhDbDaemon

from outrider.logs import Tag, task_logger
from outrider.store.wazuh_db import WazuhDb
from outrider.store.wazuh_db.changed import ChangedAgents
from outrider.store.wazuh_db.client import Client
from outrider.world import Sockets, ThreadPool


def client_of(daemon: WazuhDbDaemon, *, timeout_s: float = 30) -> Client:
    """A client with two connections."""
    return Client(Sockets(ThreadPool()), daemon.path, connections=2, timeout_s=timeout_s)


def store_of(client: Client) -> WazuhDb:
    """The store on a client, and its reader."""
    return WazuhDb(client, ChangedAgents(client, task_logger(Tag.AGENT_INFO_SYNC, "worker1")))


async def until(true: Callable[[], object]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110  (what is waited for is no event of ours)
            await asyncio.sleep(0)
