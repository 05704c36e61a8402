"""Agents in the database: who exists, what is known of them, whose information is still to be sent.

Every function is a part of one transaction; none waits for anything but the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import NamedTuple

import msgspec
from msgspec import structs

from outrider.errors import RecordsRefused
from outrider.model import AgentInfo, Label
from outrider.protocol.agents import decode_agents, encode_agent
from outrider.store.agents import RegisteredAgent
from outrider.store.sqlite.parts import Limits, bounded

_Row = tuple[int, str, str | None]
"""A row of the table ``information``."""

# One statement for a whole batch: SQLite walks a list of ids in a fraction of the time of a statement for each.
_LEARN = "INSERT INTO agent (id, registered) SELECT value, ? FROM json_each(?) WHERE true ON CONFLICT DO NOTHING"
_FORGET = "DELETE FROM unsent WHERE id IN (SELECT value FROM json_each(?)) AND change <= ?"
_ANY_CHANGE = 1 << 62
_STORE = """INSERT INTO information (id, info, labels) VALUES (?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET info = excluded.info, labels = coalesce(excluded.labels, labels)"""
_STORE_KNOWN = """INSERT INTO information (id, info, labels) SELECT ?1, ?2, ?3 FROM agent WHERE id = ?1
    ON CONFLICT (id) DO UPDATE SET info = excluded.info, labels = coalesce(excluded.labels, labels)"""


class Changes(NamedTuple):
    """Some of the agents that are still to be sent, by ascending id, as they stood after the change ``number``."""

    agents: Sequence[AgentInfo]
    number: int
    more: bool


def changed(db: Connection, limits: Limits) -> Changes:
    """The first agents that changed since they were last taken."""
    (number,) = db.execute("SELECT number FROM last_change").fetchone()
    cursor = db.execute("SELECT info, labels FROM unsent JOIN information USING (id) ORDER BY id")
    rows, more = bounded(cursor, limits, _size)
    return Changes(decoded(rows), number, more)


def forget(db: Connection, ids: Iterable[int], number: int = _ANY_CHANGE) -> None:
    """What changed of these agents up to the change ``number`` counts as sent; newer changes do not."""
    db.execute(_FORGET, (_listed(ids), number))


def change_all(db: Connection) -> None:
    """Every agent of which more is known than that it exists counts as changed.

    What every node learns from ``etc/client.keys`` is no news, and sent to the master it would replace what the
    agent's own node says.
    """
    db.execute(
        """INSERT OR REPLACE INTO unsent SELECT id, ? FROM information
        WHERE json_extract(info, '$.connection_status') IS NOT 'never_connected'""",
        (_next_change(db),),
    )


def store(db: Connection, agents: Sequence[AgentInfo], now: int, *, add: bool) -> list[int]:
    """Keep what another node says, as already sent; labels that are ``None`` stay as they are.

    Without ``add`` an agent that is not known is left out, as wazuh-db does. Gives the agents for which there
    were labels that no known agent could take.
    """
    rows = _encoded(agents)
    lost = []
    if add:
        _upsert(db, rows, now)
    else:
        unknown = [row for row in rows if db.execute(_STORE_KNOWN, row).rowcount == 0]
        lost = [number for number, _, labels in unknown if labels not in (None, "[]")]
    forget(db, (agent.id for agent in agents))
    strays = (label for agent in agents for label in agent.labels or () if label.id != agent.id)
    return lost + [label.id for label in strays if not _add_label(db, label)]


def _add_label(db: Connection, label: Label) -> bool:
    """A label belongs to the agent that it names, whichever agent it came with; whether there is such an agent."""
    row = db.execute("SELECT coalesce(labels, '[]') FROM information WHERE id = ?", (label.id,)).fetchone()
    if row is None:
        return False
    labels = [each for each in msgspec.json.decode(row[0], type=list[Label]) if each.key != label.key]
    text = msgspec.json.encode([*labels, label]).decode()
    db.execute("UPDATE information SET labels = ? WHERE id = ?", (text, label.id))
    return True


def put(db: Connection, agents: Sequence[AgentInfo], now: int) -> None:
    """Add or replace agents, as changed on this node; what a host hands in is checked here."""
    for agent in agents:
        try:
            decode_agents(b"[" + encode_agent(agent) + b"]")
        except (TypeError, ValueError) as error:
            raise RecordsRefused(f"agent {agent.id} cannot be kept: {error}") from error
    rows = _encoded(agents)
    _upsert(db, rows, now)
    number = _next_change(db)
    db.executemany("INSERT OR REPLACE INTO unsent VALUES (?, ?)", ((row[0], number) for row in rows))


def remove(db: Connection, ids: Iterable[int]) -> int:
    """Remove agents with everything that is known of them; how many there were."""
    return db.executemany("DELETE FROM agent WHERE id = ?", ((number,) for number in ids)).rowcount


def register(db: Connection, agents: Sequence[RegisteredAgent], now: int) -> None:
    """Learn who exists; a new name is taken over, everything else that is known stays."""
    db.executemany(
        """INSERT INTO agent (id, registered, register_ip) VALUES (?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET register_ip = excluded.register_ip
        WHERE register_ip IS NOT excluded.register_ip""",
        ((agent.id, now, agent.ip) for agent in agents),
    )
    known = dict(db.execute("SELECT id, json_extract(info, '$.name') FROM information"))
    fresh = [agent for agent in agents if agent.id not in known]
    _upsert(db, _encoded([_never_connected(agent) for agent in fresh]), now)
    for agent in agents:
        if agent.id in known and known[agent.id] != agent.name.encode():
            _rename(db, agent)


def _next_change(db: Connection) -> int:
    number: int = db.execute("UPDATE last_change SET number = number + 1 RETURNING number").fetchone()[0]
    return number


def _rename(db: Connection, agent: RegisteredAgent) -> None:
    (info,) = db.execute("SELECT info FROM information WHERE id = ?", (agent.id,)).fetchone()
    renamed = structs.replace(decode_agents(b"[" + info + b"]")[0], name=agent.name)
    db.execute("UPDATE information SET info = ? WHERE id = ?", (encode_agent(renamed).decode(), agent.id))


def _never_connected(agent: RegisteredAgent) -> AgentInfo:
    return AgentInfo(id=agent.id, name=agent.name, connection_status="never_connected")


def learn(db: Connection, ids: Iterable[int], now: int) -> None:
    """These agents exist; nothing else is known of them yet."""
    db.execute(_LEARN, (now, _listed(ids)))


def _upsert(db: Connection, rows: Sequence[_Row], now: int) -> None:
    learn(db, (row[0] for row in rows), now)
    db.executemany(_STORE, rows)


def _encoded(agents: Sequence[AgentInfo]) -> list[_Row]:
    return [_row(agent) for agent in agents]


def _row(agent: AgentInfo) -> _Row:
    try:
        if agent.labels is None:
            return agent.id, encode_agent(agent).decode(), None
        own = [label for label in agent.labels if label.id == agent.id]
        labels = msgspec.json.encode(own).decode()
        return agent.id, encode_agent(structs.replace(agent, labels=None)).decode(), labels
    except (TypeError, ValueError) as error:
        raise RecordsRefused(f"agent {agent.id} cannot be kept: {error}") from error


def _listed(ids: Iterable[int]) -> str:
    return msgspec.json.encode(list(ids)).decode()


def _size(row: tuple[bytes, bytes | None]) -> int:
    return len(row[0]) + len(row[1] or b"")


def decoded(rows: Iterable[tuple[bytes, bytes | None]]) -> list[AgentInfo]:
    """The agents of ``info`` and ``labels`` as the database has them."""
    texts = [info if labels is None else info[:-1] + b',"labels":' + labels + b"}" for info, labels in rows]
    return decode_agents(b"[" + b",".join(texts) + b"]")
