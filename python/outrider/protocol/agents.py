"""Agents and groups as text (specification 5.7, 5.8, 6.3): chunks, the messages that carry them, the answers.

What cannot be read is a :class:`ValueError`, of which msgspec's errors are kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from outrider.model import AgentInfo, GroupAssignment
from outrider.printable import counted
from outrider.protocol.shallow import shallow

CHUNK_BYTES = 65_024
"""A chunk stops before this: with its command it must fit into one request to a wazuh-db (6.3)."""

AGENT_INFO_SET: Final = "global sync-agent-info-set"
GROUPS_SET: Final = "global set-agent-groups"
GROUPS_PAYLOAD: Final[Mapping[str, str]] = {"mode": "override", "sync_status": "synced"}

_encoder = msgspec.json.Encoder()
_COLUMNS = frozenset(AgentInfo.__struct_encode_fields__)
_agents = msgspec.json.Decoder(list[AgentInfo])
_rows = msgspec.json.Decoder(list[dict[str, Any]])
_DEEPEST = 16
"""Of arrays and objects within each other in a column that we do not know: a database must be able to search it, and
whoever reads it again may stand deeper in the interpreter's stack."""
_MOST_UNREADABLE = 100
"""Bad records of a chunk that are looked at; each costs a hundred times a good one."""
_UNREADABLE = (ValueError, RecursionError)  # the second is told of what is nested too deep
_raw_records = msgspec.json.Decoder(list[msgspec.Raw])


class GroupsText(Struct, frozen=True, gc=False):
    """One element of a groups chunk; ``hash`` stands in the last chunk of a periodic message."""

    data: list[GroupAssignment]
    hash: str | UnsetType | None = UNSET


_groups = msgspec.json.Decoder(list[GroupsText])


def encode_agent(agent: AgentInfo) -> bytes:
    """One agent as a JSON object, without the columns that have no value."""
    return _encoder.encode(_columns(agent) if agent.other else agent)


def encode_lines(agents: Iterable[AgentInfo]) -> bytes:
    """Agents as JSON objects, each ended by a line feed, of which there are none in the objects."""
    return _encoder.encode_lines([_columns(agent) if agent.other else agent for agent in agents])


def _columns(agent: AgentInfo) -> dict[str, Any]:
    columns = msgspec.to_builtins(agent)
    columns.pop("")
    return {**{name: value for name, value in agent.other.items() if name not in _COLUMNS}, **columns}


def encode_agents(agents: Sequence[AgentInfo]) -> bytes:
    """A chunk of agent information: a JSON array."""
    return b"[" + b",".join(map(encode_agent, agents)) + b"]"


def decode_agents(chunk: bytes) -> list[AgentInfo]:
    """Read a chunk; columns that we do not know are kept."""
    try:
        agents = _agents.decode(chunk)
    except msgspec.ValidationError:
        agents = None
    # Only from a row as a whole is it certain that ``other`` holds no column of ours under another type.
    if agents is None or any(agent.other for agent in agents):
        return [_with_other_columns(row) for row in _rows.decode(chunk)]
    return agents


class SoundAgents(NamedTuple):
    """What could be read of a chunk, and why the rest could not: empty if there is none."""

    agents: list[AgentInfo]
    fault: str


def decode_sound_agents(chunk: bytes) -> SoundAgents:
    """Read a chunk so that one bad record does not cost the others, unless it is one of very many."""
    try:
        return SoundAgents(decode_agents(chunk), "")
    except _UNREADABLE as whole:
        try:
            records = _raw_records.decode(chunk)
        except _UNREADABLE:
            return SoundAgents([], f"Invalid JSON data: {whole}")
    agents: list[AgentInfo] = []
    faults: list[str] = []
    for record in records:
        if len(faults) == _MOST_UNREADABLE:
            return SoundAgents(
                agents, f"Invalid JSON data in {counted(len(faults), 'record')}, first {faults[0]}; no more is read"
            )
        try:
            agents += decode_agents(b"[" + bytes(record) + b"]")
        except _UNREADABLE as fault:
            faults.append(f"{bytes(record)[:64].decode(errors='replace')}: {fault}")
    of = counted(len(records), "record")
    return SoundAgents(agents, f"Invalid JSON data in {len(faults)} of {of}, first {faults[0]}")


def _with_other_columns(row: dict[str, Any]) -> AgentInfo:
    known = {name: value for name, value in row.items() if name in _COLUMNS and name}
    other = {name: value for name, value in row.items() if name not in _COLUMNS}
    if not _flat(other, _DEEPEST + 1):
        raise msgspec.ValidationError(f"a column is nested deeper than {_DEEPEST} arrays and objects")
    return msgspec.convert({**known, "": other}, AgentInfo)


def _flat(value: Any, levels: int) -> bool:
    """Whether at most so many ``levels`` of arrays and objects stand within each other."""
    if not isinstance(value, dict | list):
        return True
    return levels > 0 and all(_flat(one, levels - 1) for one in (value.values() if isinstance(value, dict) else value))


def encode_groups(assignments: Sequence[GroupAssignment], digest: str | UnsetType | None = UNSET) -> bytes:
    """A chunk of assignments, with the hash over all of them where one is due."""
    return msgspec.json.encode([GroupsText(list(assignments), digest)])


def decode_groups(chunk: bytes) -> GroupsText:
    """Read a chunk of assignments: the first element of its array, all that a peer sends."""
    elements = _groups.decode(chunk)
    if not elements:
        raise msgspec.ValidationError("a chunk of groups has no element")
    return elements[0]


class Result(Struct, frozen=True):
    """The answer to a message: chunks that were kept, why others were not, and the seconds that it took."""

    updated_chunks: int
    error_messages: list[str]
    time_spent: float = 0.0

    def encode(self) -> bytes:
        """As the original writes it."""
        return msgspec.json.encode(self)


_read_result = shallow(msgspec.json.Decoder(Result).decode)


def encode_message(command: str, payload: Mapping[str, Any], chunks: Iterable[bytes]) -> bytes:
    """A message, chunk by chunk, so that no single step holds the interpreter for long."""
    head = msgspec.json.encode({"set_data_command": command, "payload": payload})
    texts = b",".join(msgspec.json.encode(chunk.decode()) for chunk in chunks)
    return head[:-1] + b',"chunks":[' + texts + b"]}"


def decode_result(payload: bytes) -> Result:
    """Read the answer to a message."""
    return _read_result(payload)
