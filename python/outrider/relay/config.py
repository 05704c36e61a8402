"""What ``get_config`` tells of a node: the words of specification 5.13 and every setting, none of them a secret."""

from __future__ import annotations

from typing import Any

from outrider.model import NodeInfo
from outrider.settings import Settings


def config_of(settings: Settings, node: NodeInfo) -> dict[str, Any]:
    """Plain data; neither the cluster key nor a previous one is in it."""
    link = settings.link
    return {
        "disabled": False,
        "node_type": node.type,
        "name": settings.node.cluster,
        "node_name": node.name,
        "port": link.port,
        "bind_addr": link.bind_addr,
        "nodes": list(link.nodes),
        "hidden": "no",
        "settings": {line.key: line.value for line in settings.describe() if not line.hidden},
    }
