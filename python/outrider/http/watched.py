"""What this room needs of a node; a worker and a master have it."""

from __future__ import annotations

from typing import Protocol

from outrider.model import NodeInfo
from outrider.overview import Overview
from outrider.ports import Ports
from outrider.settings import Settings
from outrider.status import Status
from outrider.store.agents import AgentStore


class Watched(Protocol):
    """See the module."""

    status: Status

    @property
    def settings(self) -> Settings:
        """Those that are in force."""
        ...

    @property
    def ports(self) -> Ports:
        """What it takes from the world."""
        ...

    @property
    def running(self) -> bool:
        """Whether it has started, and nobody has asked it to stop."""
        ...

    @property
    def agents(self) -> AgentStore:
        """What it knows of agents; :class:`StoreError` while it does not run."""
        ...

    def get_node(self) -> NodeInfo:
        """Who it is."""
        ...

    def look(self) -> Overview:
        """The cluster, as far as it knows by itself."""
        ...

    async def cluster(self) -> Overview:
        """The cluster, as far as it can learn of it."""
        ...
