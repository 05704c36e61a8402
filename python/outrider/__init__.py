"""Outrider: keeps every worker of a cluster in step with its master.

The public names load on first use, so that ``import outrider`` costs next to nothing::

    settings = outrider.Settings.load("outrider.toml")
    asyncio.run(outrider.Worker(settings).run())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrider.client import AsyncLocalClient, LocalClient
    from outrider.errors import (
        ConnectionLostError,
        OutriderError,
        PeerError,
        ProtocolError,
        RecordsRefused,
        Refusal,
        RefusedByPeer,
        RequestTimeoutError,
        SettingsError,
        StoreBusyError,
        StoreError,
        SyncError,
        TransportError,
        UnknownAgents,
    )
    from outrider.master import Master
    from outrider.model import AgentInfo, GroupAssignment
    from outrider.relay.context import Context
    from outrider.relay.handlers import Handlers
    from outrider.settings import Settings
    from outrider.store.agents import AgentStore
    from outrider.worker import Worker

__all__ = [
    "AgentInfo",
    "AgentStore",
    "AsyncLocalClient",
    "ConnectionLostError",
    "Context",
    "GroupAssignment",
    "Handlers",
    "LocalClient",
    "Master",
    "OutriderError",
    "PeerError",
    "ProtocolError",
    "RecordsRefused",
    "Refusal",
    "RefusedByPeer",
    "RequestTimeoutError",
    "Settings",
    "SettingsError",
    "StoreBusyError",
    "StoreError",
    "SyncError",
    "TransportError",
    "UnknownAgents",
    "Worker",
]
_HOMES = {
    "AgentInfo": "outrider.model",
    "AgentStore": "outrider.store.agents",
    "AsyncLocalClient": "outrider.client",
    "Context": "outrider.relay.context",
    "GroupAssignment": "outrider.model",
    "Handlers": "outrider.relay.handlers",
    "LocalClient": "outrider.client",
    "Master": "outrider.master",
    "Settings": "outrider.settings",
    "Worker": "outrider.worker",
}


if not TYPE_CHECKING:  # a checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'outrider' has no attribute {name!r}")
        value = getattr(import_module(_HOMES.get(name, "outrider.errors")), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
