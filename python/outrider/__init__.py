"""Outrider: keeps every worker of a cluster in step with its master.

The public names load on first use, so that ``import outrider`` costs next to nothing::

    settings = outrider.Settings.load("outrider.toml")
    async with outrider.Worker(settings) as worker:
        await worker.wait_for(1)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrider.blocking import SyncMaster, SyncWorker
    from outrider.client import AsyncLocalClient, LocalClient
    from outrider.errors import (
        ConnectionLostError,
        NotExtendedError,
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
    from outrider.hooks import AgentInfoEvent, GenerationEvent, GroupsEvent, Hooks, RequestEvent
    from outrider.kinds.interface import Half, Kind, LinkGround, NodeGround, Talk, stateless
    from outrider.master import Master
    from outrider.model import AgentInfo, GroupAssignment
    from outrider.protocol.commands import Command, To
    from outrider.relay.context import Context
    from outrider.relay.handlers import Handlers
    from outrider.settings import Settings
    from outrider.store.agents import AgentStore
    from outrider.transport.answers import Reply
    from outrider.worker import Worker

__all__ = [
    "AgentInfo",
    "AgentInfoEvent",
    "AgentStore",
    "AsyncLocalClient",
    "Command",
    "ConnectionLostError",
    "Context",
    "GenerationEvent",
    "GroupAssignment",
    "GroupsEvent",
    "Half",
    "Handlers",
    "Hooks",
    "Kind",
    "LinkGround",
    "LocalClient",
    "Master",
    "NodeGround",
    "NotExtendedError",
    "OutriderError",
    "PeerError",
    "ProtocolError",
    "RecordsRefused",
    "Refusal",
    "RefusedByPeer",
    "Reply",
    "RequestEvent",
    "RequestTimeoutError",
    "Settings",
    "SettingsError",
    "StoreBusyError",
    "StoreError",
    "SyncError",
    "SyncMaster",
    "SyncWorker",
    "Talk",
    "To",
    "TransportError",
    "UnknownAgents",
    "Worker",
    "stateless",
]
_HOMES = {
    "AgentInfo": "outrider.model",
    "AgentInfoEvent": "outrider.hooks",
    "AgentStore": "outrider.store.agents",
    "AsyncLocalClient": "outrider.client",
    "Command": "outrider.protocol.commands",
    "Context": "outrider.relay.context",
    "GenerationEvent": "outrider.hooks",
    "GroupAssignment": "outrider.model",
    "GroupsEvent": "outrider.hooks",
    "Half": "outrider.kinds.interface",
    "Handlers": "outrider.relay.handlers",
    "Hooks": "outrider.hooks",
    "Kind": "outrider.kinds.interface",
    "LinkGround": "outrider.kinds.interface",
    "LocalClient": "outrider.client",
    "Master": "outrider.master",
    "NodeGround": "outrider.kinds.interface",
    "Reply": "outrider.transport.answers",
    "RequestEvent": "outrider.hooks",
    "Settings": "outrider.settings",
    "SyncMaster": "outrider.blocking",
    "SyncWorker": "outrider.blocking",
    "Talk": "outrider.kinds.interface",
    "To": "outrider.protocol.commands",
    "Worker": "outrider.worker",
    "stateless": "outrider.kinds.interface",
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
