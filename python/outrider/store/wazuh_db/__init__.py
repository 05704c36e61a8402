"""A running wazuh-db as the store of agents and groups (specification 6.1 to 6.3).

``frames`` and ``replies`` are what bytes mean, ``connection`` and ``client`` how they travel,
``batches`` how much goes into a request, ``changed`` how changed agents are read without losing one,
``store`` the port itself.
"""

from __future__ import annotations

from outrider.logs import Tag, task_logger
from outrider.ports import Network
from outrider.settings import Settings
from outrider.store.wazuh_db.changed import ChangedAgents
from outrider.store.wazuh_db.client import Client
from outrider.store.wazuh_db.store import WazuhDb

__all__ = ["WazuhDb", "open_wazuh_db"]


def open_wazuh_db(settings: Settings, network: Network) -> WazuhDb:
    """The store of these settings; connections are made when they are needed."""
    client = Client(
        network,
        settings.node.home / settings.agents.wazuh_db_socket,
        connections=settings.agents.wazuh_db_connections,
        timeout_s=settings.agents.database_timeout,
    )
    return WazuhDb(client, ChangedAgents(client, task_logger(Tag.AGENT_INFO_SYNC, settings.node.name)))
