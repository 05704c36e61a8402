"""What ``get_nodes`` and ``get_health`` answer (specification 2.5): nodes and their rounds as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from outrider.errors import Refusal
from outrider.model import NodeInfo
from outrider.protocol import faults
from outrider.protocol.results import parse
from outrider.status import Outcome, Snapshot

BAD_SELECT: Final = 1724
BAD_TYPE: Final = 1728
NO_SUCH_NODE: Final = 1730
FIELDS: Final = ("name", "type", "version", "ip")
NEVER: Final = "n/a"

Row = dict[str, Any]


class Sort(Struct, frozen=True, forbid_unknown_fields=True):
    """By which fields, and which way."""

    fields: tuple[str, ...]
    order: Literal["asc", "desc"] = "asc"


class Search(Struct, frozen=True, forbid_unknown_fields=True):
    """A text that stands in one of a node's fields, or in none of them."""

    value: str
    negation: bool = False


class NodesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of ``get_nodes``; every one may be left out."""

    filter_node: str | tuple[str, ...] | None = None
    offset: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1)] | None = 500
    sort: Sort | None = None
    search: Search | None = None
    select: tuple[str, ...] | None = None
    filter_type: str = "all"
    distinct: bool = False


class WorkerState(NamedTuple):
    """What a master knows of one worker; ``keep_alive`` is in Unix seconds, ``agents`` ``None`` where nobody counts."""

    node: NodeInfo
    rounds: Snapshot
    integrity_free: bool
    agent_info_free: bool
    keep_alive: float
    agents: int | None


def nodes_answer(arguments: bytes, nodes: Sequence[NodeInfo]) -> bytes:
    """``get_nodes``: those of ``nodes``, the master first, that the arguments ask for."""
    query = _convert(arguments, NodesQuery)
    _check(query)
    wanted = _names(query.filter_node, nodes)
    rows = [_row(node) for node in nodes if node.name in wanted and query.filter_type in {"all", node.type}]
    if query.search is not None:
        rows = [row for row in rows if _holds(row, query.search.value) is not query.search.negation]
    for name in reversed(query.sort.fields if query.sort else ()):
        rows.sort(key=lambda row: row[name], reverse=query.sort is not None and query.sort.order == "desc")
    if query.select is not None:
        rows = [{name: row[name] for name in FIELDS if name in query.select} for row in rows]
    if query.distinct:
        rows = list({tuple(row.items()): row for row in rows}.values())
    end = None if query.limit is None else query.offset + query.limit
    return json.dumps({"items": rows[query.offset : end], "totalItems": len(rows)}).encode()


def health_names(arguments: bytes) -> tuple[str, ...] | None:
    """The nodes that the arguments of ``get_health`` name; ``None`` for all."""
    names = parse(arguments)
    return None if names in (None, {}, []) else msgspec.convert(names, tuple[str, ...])


def health_answer(
    names: tuple[str, ...] | None, master: NodeInfo, agents: int | None, workers: Iterable[WorkerState]
) -> bytes:
    """``get_health``: each worker's rounds, and who the master is; ``agents`` are the master's own."""
    workers = list(workers)
    wanted = _names(names, [master, *(worker.node for worker in workers)])
    nodes = {worker.node.name: _health(worker) for worker in workers if worker.node.name in wanted}
    if master.name in wanted:
        nodes[master.name] = {"info": {**_row(master), "n_active_agents": agents}}
    connected = sum(worker.node.name in wanted for worker in workers)
    return json.dumps({"n_connected_nodes": connected, "nodes": nodes}).encode()


def _convert(arguments: bytes, kind: type[NodesQuery]) -> NodesQuery:
    try:
        return msgspec.convert(parse(arguments), kind)
    except msgspec.ValidationError as error:
        raise Refusal(faults.INTERNAL, f"get_nodes does not take these arguments: {error}") from error


def _check(query: NodesQuery) -> None:
    for name in (*(query.select or ()), *(query.sort.fields if query.sort else ())):
        if name not in FIELDS:
            raise Refusal(BAD_SELECT, f"{name[:200]!r}; there are {', '.join(FIELDS)}")
    if query.filter_type not in {"all", "worker", "master"}:
        raise Refusal(BAD_TYPE, f"{query.filter_type[:200]!r}; there are all, worker, master")


def _names(filtered: str | Sequence[str] | None, nodes: Sequence[NodeInfo]) -> set[str]:
    """The names that a filter leaves; 1730 for one that no node has."""
    known = {node.name for node in nodes}
    if filtered is None:
        return known
    wanted = {filtered} if isinstance(filtered, str) else set(filtered)
    if unknown := sorted(wanted - known):
        raise Refusal(NO_SUCH_NODE, ", ".join(unknown)[:200])
    return wanted


def _row(node: NodeInfo) -> Row:
    return {"name": node.name, "type": node.type, "version": node.version, "ip": node.address}


def _holds(row: Row, text: str) -> bool:
    return any(text.casefold() in str(value).casefold() for value in row.values())


def _health(worker: WorkerState) -> Row:
    kinds = worker.rounds.kinds
    last = {name: kind.last for name, kind in kinds.items()}
    sync = last.get("integrity_sync")
    files: Mapping[str, int] = sync.counts if sync else {"missing": 0, "shared": 0, "extra": 0, "extra_valid": 0}
    return {
        "info": {**_row(worker.node), "n_active_agents": worker.agents},
        "status": {
            "sync_integrity_free": worker.integrity_free,
            "last_check_integrity": _times(last.get("integrity"), "_master"),
            "last_sync_integrity": {**_times(sync, "_master"), "total_extra_valid": 0, "total_files": dict(files)},
            "sync_agent_info_free": worker.agent_info_free,
            "last_sync_agentinfo": _chunks(last.get("agent_info"), "_master"),
            "last_sync_agentgroup": _chunks(last.get("agent_groups")),
            "last_sync_full_agentgroup": _chunks(last.get("agent_groups_full")),
            "last_keep_alive": _date(worker.keep_alive),
        },
    }


def _chunks(outcome: Outcome | None, suffix: str = "") -> Row:
    return {**_times(outcome, suffix), "n_synced_chunks": outcome.counts.get("chunks", 0) if outcome else 0}


def _times(outcome: Outcome | None, suffix: str = "") -> dict[str, str]:
    start = _date(outcome.started) if outcome else NEVER
    end = _date(outcome.started + outcome.seconds) if outcome else NEVER
    return {f"date_start{suffix}": start, f"date_end{suffix}": end}


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
