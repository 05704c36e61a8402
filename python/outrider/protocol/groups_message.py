"""A message of agent groups, written and read bit by bit (specification 5.8): no step holds the interpreter for long.

A chunk is what one request to a wazuh-db can hold. A peer's chunk is read as far as it can be: one
assignment that is none costs itself and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from outrider.model import GroupAssignment
from outrider.protocol.agents import CHUNK_BYTES, GROUPS_PAYLOAD, GROUPS_SET, decode_groups

_MOST_FAULTS = 100
"""Bad assignments of a chunk that are looked at; each costs a hundred times a good one."""
_LONGEST_HASH = len(b'[{"data":[],"hash":"%s"}]' % (b"0" * 40))

_HEAD = msgspec.json.encode({"set_data_command": GROUPS_SET, "payload": GROUPS_PAYLOAD})[:-1] + b',"chunks":['

GroupsHash = str | None | UnsetType
"""40 hex digits; ``None`` where no agent has a group; ``UNSET`` where nothing is said of it."""


class GroupsWriter:
    """Takes assignments and gives the message that carries them: in chunks, the hash in the last one only."""

    def __init__(self, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._room = chunk_bytes - _LONGEST_HASH
        self._closed: list[bytes] = []  # chunks as JSON texts: at the end only a join is left to do
        self._open: list[bytes] = []
        self._open_bytes = 0
        self.assignments = 0

    def add(self, assignments: Sequence[GroupAssignment]) -> None:
        """More assignments, after those that came before. One that fills a chunk by itself has one to itself."""
        for assignment in assignments:
            text = msgspec.json.encode(assignment)
            if self._open and self._open_bytes + len(text) + 1 > self._room:
                self._close(b"")
            self._open.append(text)
            self._open_bytes += len(text) + 1
        self.assignments += len(assignments)

    def finish(self, digest: GroupsHash = UNSET) -> bytes:
        """The whole message; it has one chunk at least, since the hash needs one."""
        self._close(b"" if digest is UNSET else b',"hash":' + msgspec.json.encode(digest))
        return _HEAD + b",".join(self._closed) + b"]}"

    def _close(self, tail: bytes) -> None:
        chunk = b'[{"data":[' + b",".join(self._open) + b"]" + tail + b"}]"
        self._closed.append(msgspec.json.encode(chunk.decode()))
        self._open, self._open_bytes = [], 0


class GroupsRead(NamedTuple):
    """What a chunk holds: its assignments, its hash, and what is wrong with the assignments that are left out."""

    assignments: list[GroupAssignment]
    hash: GroupsHash
    faults: list[str]


class _LooseText(Struct, frozen=True):
    data: list[Raw]
    hash: str | UnsetType | None = UNSET


_loose = msgspec.json.Decoder(list[_LooseText])
_assignment = msgspec.json.Decoder(GroupAssignment)


def read_groups(chunk: bytes) -> GroupsRead:
    """Read a chunk; :class:`ValueError` if it is no chunk at all."""
    try:
        text = decode_groups(chunk)
    except msgspec.ValidationError:
        return _read_one_by_one(chunk)
    return GroupsRead(text.data, text.hash, [])


def _read_one_by_one(chunk: bytes) -> GroupsRead:
    elements = _loose.decode(chunk)
    if not elements:
        raise msgspec.ValidationError("a chunk of groups has no element")
    assignments: list[GroupAssignment] = []
    faults: list[str] = []
    for row in elements[0].data:
        if len(faults) == _MOST_FAULTS:
            faults.append("no more of this chunk is read")
            break
        try:
            assignments.append(_assignment.decode(row))
        except msgspec.ValidationError as error:
            faults.append(f"{bytes(row)[:128].decode(errors='replace')} is no assignment: {error}")
    return GroupsRead(assignments, elements[0].hash, faults)
