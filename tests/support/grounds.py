"""What a half of a kind stands on, for a node that does not run."""

from __future__ import annotations

from typing import Any

from outrider.hooks import NodeEvents
from outrider.kinds.interface import NodeGround
from outrider.kinds.signals import Signal
from outrider.logs import Tag, task_logger
from outrider.model import NodeInfo
from outrider.ports import Ports
from outrider.settings import Live, Settings
from outrider.status import Status
from outrider.store.agents import AgentStore
from outrider.store.tree import FileTree
from outrider.supervise import Supervisor


def node_ground(ports: Ports, *, settings: Settings | None = None, agents: AgentStore | Any = None) -> NodeGround:
    """The ground of ``node01`` with these settings and this store; its tree is its home's."""
    settings = settings or Settings.from_mapping({})
    node = NodeInfo(name=settings.node.name, type=settings.node.type, version="4.9.2", address="")
    status = Status()
    live = Live(settings)
    return NodeGround(
        node=node,
        live=live,
        ports=ports,
        status=status,
        supervisor=Supervisor(ports, task_logger(Tag.CLUSTER, node.name), status),
        agents=agents,
        tree=FileTree(live, ports.threads),
        nodes=lambda: [node],
        applied=Signal(),
        events=NodeEvents(None, live, ports, status),
    )
