"""The cluster as a worker sees it: itself, and if its master tells, the others. It changes nothing."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from msgspec import structs

from outrider.errors import OutriderError
from outrider.model import NodeInfo
from outrider.overview import Overview, failures_of, syncs_of, view_of
from outrider.ports import Ports
from outrider.protocol.api import Request
from outrider.protocol.faults import Failure
from outrider.protocol.results import decode_result
from outrider.relay.routes import Routes
from outrider.settings import Live
from outrider.status import Status

_CLIENT: Final = "page"
_WITHIN_S: Final = 2.0
"""A master that takes longer is not waited for: the node's own row is what people come for."""
_FRESH_S: Final = 2.0
"""An answer serves all who ask within so long."""


class Sight:
    """See the module."""

    def __init__(self, node: NodeInfo, *, live: Live, ports: Ports, status: Status) -> None:
        self._node = node
        self._live = live
        self._ports = ports
        self._status = status
        self._turn = asyncio.Lock()
        self._told: Overview | str = ""
        self._told_at = float("-inf")

    def look(self) -> Overview:
        """The node itself, and no other."""
        snapshot = self._status.snapshot()
        itself = view_of(self._node, snapshot.link, snapshot.standing, keep_alive=self._ports.wall())
        return Overview(
            cluster=self._live.now.node.cluster,
            told_by=self._node.name,
            at=self._ports.wall(),
            nodes=[itself],
            syncs=syncs_of(self._status, self._node.name),
            failures=failures_of(snapshot),
        )

    async def cluster(self, routes: Routes) -> Overview:
        """All nodes, as far as the master tells; this one as it sees itself."""
        own = self.look()
        async with self._turn:
            if self._ports.monotonic() - self._told_at > _FRESH_S:
                self._told = await self._ask(routes)
                self._told_at = self._ports.monotonic()
        told = self._told
        if isinstance(told, str):
            return structs.replace(own, missing=told)
        others = [node for node in told.nodes if node.name != self._node.name]
        return structs.replace(own, nodes=[*own.nodes, *others])

    async def _ask(self, routes: Routes) -> Overview | str:
        """What the master sees, or why that is not known."""
        try:
            async with asyncio.timeout(_WITHIN_S):
                answer = await routes.ask(_CLIENT, Request(call="outrider.cluster").encode())
            result = decode_result(answer.body) if answer.ok else answer.body.decode(errors="replace")
            if isinstance(result, Failure | str):
                return f"the master does not tell of the other nodes: {result}"
            return msgspec.convert(result, Overview)
        except TimeoutError:
            return f"the master did not tell of the other nodes within {_WITHIN_S:g} s"
        except OutriderError:
            return "without a link to the master this node knows of no others"
        except (ValueError, msgspec.ValidationError) as error:
            return f"what the master tells of the other nodes cannot be read: {error}"
