"""The calls that every node answers: those of the original that its recordings show, under their wire names, and ours.

The original's take the arguments that its programs send; anything else is an error that names it. Which
daemons run is what their pid files say. Its lists of required daemons are not checked: no call here needs one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any

from msgspec import Meta, Struct

from outrider.model import NodeInfo
from outrider.protocol.results import AffectedItemsWazuhResult, WazuhResult
from outrider.relay.agents import Wanted, overview, select_agents
from outrider.relay.context import Context
from outrider.relay.handlers import Handlers
from outrider.status import Snapshot
from outrider.store.daemons import daemon_states

Offset = Annotated[int, Meta(ge=0)]
Limit = Annotated[int, Meta(ge=1, le=100_000)]


class NodeReport(Struct, frozen=True):
    """Who a node is and which release of Outrider it runs."""

    name: str
    type: str
    cluster: str
    wire_version: str
    outrider: str


class Pong(Struct, frozen=True):
    """The text that came, and the node's clock in Unix seconds."""

    text: str
    time: float


def builtin() -> Handlers:
    """A fresh table with these calls."""
    table = Handlers()
    _add_ours(table)
    _add_original(table)
    return table


def _add_ours(table: Handlers) -> None:
    @table.call("outrider.ping", quick=True)
    def ping(context: Context, *, text: Annotated[str, Meta(max_length=1024)] = "") -> Pong:
        return Pong(text, context.ports.wall())

    @table.call("outrider.node", quick=True)
    def node(context: Context) -> NodeReport:
        info = context.node
        return NodeReport(info.name, info.type, context.settings.node.cluster, info.version, _release())

    @table.call("outrider.nodes", quick=True)
    def nodes(context: Context) -> list[NodeInfo]:
        return list(context.nodes())

    @table.call("outrider.status", quick=True)
    def status(context: Context) -> Snapshot:
        return context.status.snapshot()

    @table.call("outrider.calls", quick=True)
    def calls(context: Context) -> dict[str, str]:
        return {name: context.calls[name].signature for name in sorted(context.calls)}


def _add_original(table: Handlers) -> None:
    @table.call("wazuh.cluster:get_node_wrapper", quick=True)
    def get_node_wrapper(context: Context) -> AffectedItemsWazuhResult:
        node = context.node
        item = {"node": node.name, "cluster": context.settings.node.cluster, "type": node.type}
        return AffectedItemsWazuhResult(
            affected_items=[item],
            total_affected_items=1,
            all_msg="All selected information was returned",
            none_msg="No information was returned",
        )

    @table.call("wazuh.manager:get_status")
    def get_status(context: Context) -> AffectedItemsWazuhResult:
        return AffectedItemsWazuhResult(
            affected_items=[daemon_states(context.settings.node.home)],
            total_affected_items=1,
            all_msg="Processes status was successfully read in specified node",
            some_msg="Could not read basic information in some nodes",
            none_msg="Could not read processes status in specified node",
        )

    @table.call("wazuh.core.manager:status")
    def manager_status(context: Context) -> WazuhResult:
        return WazuhResult(dict[str, Any](daemon_states(context.settings.node.home)))

    @table.call("wazuh.agent:get_agents")
    async def get_agents(
        context: Context,
        *,
        agent_list: list[str] | None = None,
        offset: Offset = 0,
        limit: Limit | None = 500,
        select: list[str] | None = None,
        filters: Mapping[str, str | list[str]] | None = None,
    ) -> AffectedItemsWazuhResult:
        wanted = Wanted(ids=agent_list, offset=offset, limit=limit, select=select, filters=filters or {})
        return await select_agents(context, wanted)

    @table.call("wazuh.core.agent:Agent.get_agents_overview")
    async def get_agents_overview(
        context: Context,
        *,
        offset: Offset = 0,
        limit: Limit | None = 500,
        select: list[str] | None = None,
        filters: Mapping[str, str | list[str]] | None = None,
    ) -> WazuhResult:
        return await overview(context, Wanted(offset=offset, limit=limit, select=select, filters=filters or {}))


@cache
def _release() -> str:
    return version("outrider")
