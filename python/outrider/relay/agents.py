"""Agents as the original's API shows them: its field names, its ids of three digits, its filters and selections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from outrider.errors import Refusal
from outrider.model import AgentInfo
from outrider.protocol import faults
from outrider.protocol.faults import Failure
from outrider.protocol.results import AffectedItemsWazuhResult, WazuhResult
from outrider.relay.context import AgentLister, Context
from outrider.store.sqlite.listing import KnownAgent

_BAD_SELECT: Final = 1724
_NO_SUCH_AGENT: Final = 1701
_ALL: Final = "all"

Row = dict[str, Any]


class Wanted(Struct, frozen=True, kw_only=True):
    """Which agents, and what of them. A filter names a field and the value or values it may have; ``all`` for any."""

    ids: list[str] | None = None
    offset: int = 0
    limit: int | None = None
    select: list[str] | None = None
    filters: Mapping[str, str | list[str]] = {}


class _Found(Struct):
    """The rows of the asked part, and how many there are beyond it."""

    rows: list[Row]
    total: int
    ids: set[str]


async def select_agents(context: Context, wanted: Wanted) -> AffectedItemsWazuhResult:
    """The answer of ``get_agents``; ids that name no agent are failed items."""
    found = await _find(context, wanted)
    missing = [one for one in dict.fromkeys(wanted.ids or ()) if one not in found.ids]
    failure = Failure(name="WazuhResourceNotFound", code=_NO_SUCH_AGENT, ids=missing)
    return AffectedItemsWazuhResult(
        affected_items=found.rows,
        total_affected_items=found.total,
        total_failed_items=len(missing),
        failed=[(failure, missing)] if missing else [],
        all_msg="All selected agents information was returned",
        some_msg="Some agents information was not returned",
        none_msg="No agent information was returned",
    )


async def overview(context: Context, wanted: Wanted) -> WazuhResult:
    """The answer of ``get_agents_overview``."""
    found = await _find(context, wanted)
    return WazuhResult({"items": found.rows, "totalItems": found.total})


async def _find(context: Context, wanted: Wanted) -> _Found:
    if context.agents is None:
        raise Refusal(faults.INTERNAL, f"the node {context.node.name} keeps no store of agents")
    _check_fields(wanted)
    found = _Found([], 0, set())
    last = None if wanted.limit is None else wanted.offset + wanted.limit
    allowed = {
        name: frozenset([values] if isinstance(values, str) else values) for name, values in wanted.filters.items()
    }
    if wanted.ids is not None:
        allowed["id"] = frozenset(wanted.ids)
    async for row in _rows(context, context.agents):
        if not all(_allows(values, row.get(name)) for name, values in allowed.items()):
            continue
        found.ids.add(row["id"])
        if found.total >= wanted.offset and (last is None or found.total < last):
            found.rows.append(row)
        found.total += 1
    if wanted.select is not None:
        found.rows = [{name: row[name] for name in wanted.select if name in row} for row in found.rows]
    return found


async def _rows(context: Context, agents: AgentLister) -> AsyncIterator[Row]:
    """The node itself as agent 000, then every agent."""
    node = context.node
    yield {"name": node.name, "id": "000", "node_name": node.name, "ip": "127.0.0.1", "status": "active"}
    after, more = 0, True
    while more:
        part = await agents.agents(after)
        for agent in part.agents:
            yield _row(agent)
            after = agent.id
        more = part.more and bool(part.agents)


def _row(agent: KnownAgent) -> Row:
    row: Row = {"os": _os(agent.info), "registerIP": agent.ip, "id": f"{agent.id:03}"}
    row |= {name: getattr(agent.info, column, None) for name, column in _COLUMNS.items()}
    row |= {"dateAdd": _time(agent.registered), "group": list(agent.groups)}
    row |= {name: _time(row[name]) for name in _TIMES}
    return {name: value for name, value in row.items() if value not in (None, {}, [])}


def _os(info: AgentInfo | None) -> Row:
    names = ("arch", "build", "codename", "major", "minor", "name", "platform", "uname", "version")
    return {name: value for name in names if (value := getattr(info, f"os_{name}", None)) is not None}


def _time(seconds: int | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):  # a time that no calendar has
        return None


_COLUMNS: Final[Mapping[str, str]] = {
    "name": "name",
    "manager": "manager_host",
    "status_code": "status_code",
    "node_name": "node_name",
    "ip": "ip",
    "mergedSum": "merged_sum",
    "version": "version",
    "configSum": "config_sum",
    "lastKeepAlive": "last_keepalive",
    "disconnection_time": "disconnection_time",
    "status": "connection_status",
    "group_config_status": "group_config_status",
}
"""The API's names of the columns."""
_TIMES: Final = ("lastKeepAlive", "disconnection_time")
_FIELDS: Final = frozenset({*_COLUMNS, "id", "os", "registerIP", "dateAdd", "group"})
_FILTERS: Final = _FIELDS - {"os", "dateAdd", *_TIMES}


def _check_fields(wanted: Wanted) -> None:
    for name in wanted.select or ():
        if name not in _FIELDS:
            raise Refusal(_BAD_SELECT, f"{name[:200]!r}; there are {', '.join(sorted(_FIELDS))}")
    for name in wanted.filters:
        if name not in _FILTERS:
            raise Refusal(faults.INTERNAL, f"filter {name[:200]!r}; there are {', '.join(sorted(_FILTERS))}")


def _allows(allowed: frozenset[str], value: Any) -> bool:
    have = value if isinstance(value, list) else [str(value)]
    return _ALL in allowed or not allowed.isdisjoint(have)
