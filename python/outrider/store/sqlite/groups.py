"""Groups in the database: which there are, and which an agent has, in the order of their priority.

Every function is a part of one transaction; none waits for anything but the database.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from sqlite3 import Connection
from typing import Any, NamedTuple

from outrider.errors import RecordsRefused
from outrider.model import GROUP_NAMES, GroupAssignment, GroupMode, SyncStatus, is_group_name
from outrider.store.agents import GroupsPart, GroupsQuery
from outrider.store.sqlite.agents import learn
from outrider.store.sqlite.assigning import DEFAULT_GROUP, assign, global_hash, group_hash
from outrider.store.sqlite.parts import Limits, bounded

_EVERY = """SELECT agent.id, coalesce(groups, '') FROM agent LEFT JOIN assignment ON assignment.id = agent.id
    WHERE agent.id > ? AND registered < ? ORDER BY agent.id"""
_UNSENT = """SELECT assignment.id, groups FROM assignment JOIN agent ON assignment.id = agent.id
    WHERE unsent AND assignment.id > ? AND registered < ? ORDER BY assignment.id"""
_SENT = """UPDATE assignment SET unsent = 0 WHERE unsent AND id > ? AND id <= ?
    AND (SELECT registered FROM agent WHERE agent.id = assignment.id) < ?"""
_SET = """INSERT INTO assignment (id, groups, hash, unsent) VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET groups = excluded.groups, hash = excluded.hash, unsent = excluded.unsent"""
_SENT_ALL = "UPDATE assignment SET unsent = 0 WHERE unsent AND id > ? AND id <= ?"
_HASHES = "SELECT DISTINCT groups, hash FROM assignment"
_END_OF_TIME = 1 << 62
_COMBINATIONS_KEPT = 4096
_ROW_BYTES = 32
"""What an assignment costs besides its groups' names."""


class Group(NamedTuple):
    """A group and how many agents it has."""

    name: str
    agents: int


@lru_cache(_COMBINATIONS_KEPT)
def split(groups: bytes) -> tuple[str, ...]:
    """The names in the column ``groups``; agents with the same groups share one value."""
    return tuple(groups.decode().split(",")) if groups else ()


def part(db: Connection, query: GroupsQuery, limits: Limits, now: int) -> GroupsPart:
    """The assignments that ``query`` asks for, a bounded part of them."""
    before = _END_OF_TIME if query.registered_before_s is None else now - query.registered_before_s
    rows: list[tuple[int, bytes]] = []
    more = False
    if query.condition is not None:
        cursor = db.execute(_EVERY if query.condition == "all" else _UNSENT, (query.after, before))
        rows, more = bounded(cursor, limits, lambda row: len(row[1]) + _ROW_BYTES)
    if query.set_synced and rows:
        ids = (query.after, rows[-1][0])
        db.execute(*((_SENT_ALL, ids) if before == _END_OF_TIME else (_SENT, (*ids, before))))
    assignments = [GroupAssignment(number, split(groups)) for number, groups in rows]
    return GroupsPart(assignments, more, overall_hash(db) if query.with_hash and not more else None)


def overall_hash(db: Connection) -> str | None:
    """The hash over the groups of all agents."""
    return global_hash(row[0] for row in db.execute("SELECT hash FROM assignment WHERE hash IS NOT NULL ORDER BY id"))


def recalculate(db: Connection) -> None:
    """Compute each agent's hash again; whether it is to be sent stays."""
    # One pass tells which combinations have a wrong hash: mostly none, and each costs a pass of its own.
    pairs = [(groups.decode(), digest and digest.decode()) for groups, digest in db.execute(_HASHES)]
    wrong = [(group_hash(groups), groups, digest) for groups, digest in pairs if group_hash(groups) != digest]
    db.executemany("UPDATE assignment SET hash = ? WHERE groups = ? AND hash IS ?", wrong)


def change(
    db: Connection,
    assignments: Sequence[GroupAssignment],
    mode: GroupMode,
    status: SyncStatus,
    now: int,
    *,
    add: bool,
) -> list[str]:
    """Change assignments, all that can be; a text for each agent of which something was refused.

    With ``add`` an agent or group that is not known is made.
    """
    ids = [assignment.id for assignment in assignments]
    if add:
        learn(db, ids, now)
    agents = set(ids) if add else _existing(db, "SELECT id FROM agent WHERE id = ?", ids)
    groups = _usable(db, assignments, add=add)
    changed, refused = _changed(db, assignments, mode, agents, groups)
    if add:
        add_groups(db, {name for names in set(changed.values()) for name in names})
    _set(db, changed.items(), unsent=status == "syncreq")
    return refused


def _changed(
    db: Connection,
    assignments: Sequence[GroupAssignment],
    mode: GroupMode,
    agents: Container[int],
    groups: Container[str],
) -> tuple[dict[int, tuple[str, ...]], list[str]]:
    """What the agents of a batch have after it, and what was refused."""
    changed: dict[int, tuple[str, ...]] = {}
    refused = []
    # Most agents of a batch have the same few groups before it and after.
    assigned = lru_cache(_COMBINATIONS_KEPT)(lambda current, names: assign(current, names, mode, groups))
    for number, names in ((each.id, each.groups) for each in assignments):
        if number not in agents:
            refused.append(f"agent {number} is unknown here")
            continue
        current: tuple[str, ...] = ()
        if mode != "override":
            current = changed[number] if number in changed else groups_of(db, number)
        after, faults = assigned(current, tuple(names))
        if after is not None:
            changed[number] = after
        if faults:
            refused.append(f"agent {number}: " + ", ".join(faults))
    return changed, refused


def _usable(db: Connection, assignments: Sequence[GroupAssignment], *, add: bool) -> set[str]:
    """Which of the groups that a batch may need an agent can have."""
    names = {name for assignment in assignments for name in assignment.groups} | {DEFAULT_GROUP}
    if add:
        return set(filter(is_group_name, names))
    return {name.decode() for name in _existing(db, "SELECT name FROM agent_group WHERE name = ?", names)}


def _existing(db: Connection, query: str, keys: Iterable[int | str]) -> set[Any]:
    """What ``query`` finds for each key."""
    return {row[0] for key in keys for row in db.execute(query, (key,))}


def _set(db: Connection, assignments: Iterable[tuple[int, tuple[str, ...]]], *, unsent: bool) -> None:
    db.executemany(_SET, ((number, *_columns(groups), unsent) for number, groups in assignments))


@lru_cache(_COMBINATIONS_KEPT)
def _columns(groups: tuple[str, ...]) -> tuple[str, str | None]:
    text = ",".join(groups)
    return text, group_hash(text)


def groups_of(db: Connection, number: int) -> tuple[str, ...]:
    """The groups of one agent."""
    row = db.execute("SELECT groups FROM assignment WHERE id = ?", (number,)).fetchone()
    return split(row[0]) if row else ()


def all_groups(db: Connection) -> list[Group]:
    """Every group by name, with the number of its agents."""
    counts = {row[0].decode(): 0 for row in db.execute("SELECT name FROM agent_group ORDER BY name")}
    for groups, agents in db.execute("SELECT groups, count(*) FROM assignment GROUP BY groups"):
        for name in split(groups):
            counts[name] += agents
    return [Group(name, agents) for name, agents in counts.items()]


def add_groups(db: Connection, names: Iterable[str]) -> None:
    """Make groups; those that there are stay."""
    names = list(names)
    if wrong := [name for name in names if not is_group_name(name)]:
        raise RecordsRefused(f"no group may be called {wrong[0][:80]!r}: use {GROUP_NAMES}")
    db.executemany("INSERT INTO agent_group (name) VALUES (?) ON CONFLICT DO NOTHING", [(name,) for name in names])


def remove_group(db: Connection, name: str) -> bool:
    """Take a group from every agent, then remove it; whether there was one.

    The agents' assignments are to be sent; who had no other group falls back to ``default``.
    """
    if db.execute("DELETE FROM agent_group WHERE name = ?", (name,)).rowcount == 0:
        return False
    fallback = () if name == DEFAULT_GROUP else (DEFAULT_GROUP,)
    rows = db.execute("SELECT id, groups FROM assignment WHERE instr(groups, ?)", (name,))
    members = [
        (number, names) for number, names in ((number, split(groups)) for number, groups in rows) if name in names
    ]
    changed = [(number, tuple(each for each in names if each != name) or fallback) for number, names in members]
    if any(names == fallback for _, names in changed):
        add_groups(db, fallback)
    _set(db, changed, unsent=True)
    return True
