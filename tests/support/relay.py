"""A context for calls: a node with settings of its own, virtual time, no network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from tests.support.network import Fabric
from tests.support.ports import simulated_ports

from outrider.model import NodeInfo
from outrider.ports import Threads
from outrider.relay.calls import Calls
from outrider.relay.context import AgentLister, Context
from outrider.relay.handlers import Handlers
from outrider.settings import Live, Settings
from outrider.status import Status

MASTER = NodeInfo(name="master01", type="master", version="4.9.2", address="10.0.0.1")
WORKER = NodeInfo(name="worker01", type="worker", version="4.9.2", address="10.0.0.2")


def settings_of(home: Path | None = None, **limits: Any) -> Settings:
    """Settings of master01, with other limits where they are given."""
    node = {"name": "master01", "home": str(home or Path("/nowhere"))}
    return Settings.from_mapping({"node": node, "link": {"key": "k" * 32}, "limits": limits})


class RealThreads:
    """Threads that are some, so that work blocks nobody else."""

    async def run(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(work, *args, **kwargs)


def context_of(
    handlers: Handlers,
    settings: Settings | None = None,
    *,
    threads: Threads | None = None,
    agents: AgentLister | None = None,
) -> Context:
    """What the calls of master01 may know; call it inside a running loop."""
    ports = simulated_ports(Fabric(Random(0)), "10.0.0.1")
    if threads is not None:
        ports = type(ports)(**{name: getattr(ports, name) for name in ports.__slots__} | {"threads": threads})
    calls: Mapping[str, Any] = handlers
    return Context(
        node=MASTER,
        settings=(settings or settings_of()).without_secrets(),
        status=Status(),
        ports=ports,
        nodes=lambda: [MASTER, WORKER],
        agents=agents,
        calls=calls,
    )


def calls_of(table: Handlers, context: Context) -> Calls:
    """The calls of ``table`` at a node whose settings stay as they are."""
    return Calls(table, context, Live(context.settings))
