"""Agents with everything that is known of them, for people and their programs to look at."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import NamedTuple

from outrider.model import AgentInfo
from outrider.store.agents import Numbers
from outrider.store.sqlite.agents import decoded
from outrider.store.sqlite.groups import split
from outrider.store.sqlite.parts import Limits, bounded

_KNOWN = """SELECT agent.id, registered, register_ip, coalesce(groups, ''), hash, coalesce(assignment.unsent, 0),
    EXISTS (SELECT 1 FROM unsent WHERE unsent.id = agent.id), info, labels
    FROM agent LEFT JOIN information USING (id) LEFT JOIN assignment USING (id)"""
_ACTIVE = """SELECT CAST(json_extract(text, '$.node_name') AS BLOB), count(*)
    FROM (SELECT CAST(info AS TEXT) AS text FROM information)
    WHERE json_extract(text, '$.connection_status') = 'active' GROUP BY 1"""
_BY_STATUS = """SELECT CAST(coalesce(json_extract(CAST(info AS TEXT), '$.connection_status'), '') AS BLOB), count(*)
    FROM agent LEFT JOIN information USING (id) GROUP BY 1"""
_Row = tuple[int, int, bytes | None, bytes, bytes | None, int, int, bytes | None, bytes | None]


class KnownAgent(NamedTuple):
    """An agent of this store.

    ``registered`` is when it was first heard of, Unix seconds; ``ip`` is the address of ``etc/client.keys``;
    ``info`` is ``None`` while only the agent's groups are known.
    """

    id: int
    registered: int
    ip: str | None
    groups: tuple[str, ...]
    group_hash: str | None
    groups_unsent: bool
    info_unsent: bool
    info: AgentInfo | None


class ListingPart(NamedTuple):
    """Some of the agents by ascending id; ``more`` says to ask again after the last of them."""

    agents: Sequence[KnownAgent]
    more: bool


def part(db: Connection, after: int, limits: Limits) -> ListingPart:
    """The agents with an id above ``after``, a bounded part of them."""
    rows, more = bounded(db.execute(f"{_KNOWN} WHERE agent.id > ? ORDER BY agent.id", (after,)), limits, _size)
    return ListingPart(_known(rows), more)


def one(db: Connection, number: int) -> KnownAgent | None:
    """One agent, ``None`` if it is not known."""
    return next(iter(_known(db.execute(f"{_KNOWN} WHERE agent.id = ?", (number,)).fetchall())), None)


def active_by_node(db: Connection) -> dict[str, int]:
    """How many agents are active, by the name of the node that they report to."""
    return {node.decode(): number for node, number in db.execute(_ACTIVE) if node is not None}


def numbers(db: Connection) -> Numbers:
    """How many agents and groups there are."""
    agents = {status.decode(): number for status, number in db.execute(_BY_STATUS)}
    return Numbers(agents, db.execute("SELECT count(*) FROM agent_group").fetchone()[0])


def _known(rows: Sequence[_Row]) -> list[KnownAgent]:
    informed = [(info, labels) for *_, info, labels in rows if info is not None]
    infos = {agent.id: agent for agent in decoded(informed)}
    return [
        KnownAgent(
            id=number,
            registered=registered,
            ip=None if ip is None else ip.decode(),
            groups=split(groups),
            group_hash=None if digest is None else digest.decode(),
            groups_unsent=bool(groups_unsent),
            info_unsent=bool(info_unsent),
            info=infos.get(number),
        )
        for number, registered, ip, groups, digest, groups_unsent, info_unsent, _, _ in rows
    ]


def _size(row: _Row) -> int:
    return len(row[3]) + len(row[-2] or b"") + len(row[-1] or b"")
