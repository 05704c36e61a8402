"""One message of agent groups, from its text into the store (specification 5.8, steps 3 and 4).

One bad chunk, or one bad assignment in it, stops no other. What the master is told has the
original's form, so that its log reads as ever.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import NamedTuple

from msgspec import UNSET

from outrider._native import AgentMessage
from outrider.codes import Code
from outrider.errors import OutriderError, PeerError, StoreBusyError, StoreError
from outrider.hooks import GroupsEvent, Line
from outrider.printable import counted
from outrider.protocol.agents import GROUPS_SET, Result
from outrider.protocol.groups_message import GroupsHash, GroupsRead, read_groups
from outrider.store.agents import AgentStore

_WORDS_BYTES = 1 << 20
"""Up to this size a text that is no JSON is described in the original's words, which take a slow parser."""
_MOST_FAULTS = 100
"""So many texts travel back; the rest is counted."""


class UnwrittenError(OutriderError):
    """Nothing more of a message can be written; the text is what the master is told."""

    situation = Code.GROUPS_NOT_WRITTEN


class Written(NamedTuple):
    """What became of a message: the answer, the master's hash, the agents it named (``None`` if some are unread)."""

    result: Result
    hash: GroupsHash
    ids: frozenset[int] | None


def read_message(text: bytes | None, name: bytes) -> AgentMessage:
    """The message of the string ``name``; ``text`` is ``None`` if there is no such string. For a thread."""
    if text is None:
        raise UnwrittenError((b"error while trying to access string under task_id %a." % name).decode())
    try:
        message = AgentMessage(text)
    except PeerError as error:
        words = _words(text) if len(text) <= _WORDS_BYTES else str(error)
        raise UnwrittenError(f"error while trying to load JSON: {words}") if words else _unprocessed(error) from error
    if message.command != GROUPS_SET:
        allowed = f"the command {message.command[:64]!r} is not allowed here, only {GROUPS_SET!r}"  # 7.3, row 8
        raise _unprocessed(ValueError(allowed))
    return message


async def write_message(
    message: AgentMessage, agents: AgentStore, heard: Line[GroupsEvent], limit_s: float, now: Callable[[], float]
) -> Written:
    """Write what can be within the limit; :class:`UnwrittenError` if the store cannot be reached.

    The host hears of each chunk that its store took.
    """
    started = now()
    writing = _Writing(agents, heard)
    try:
        async with asyncio.timeout(limit_s):
            for number in range(len(message)):
                await writing.chunk(message, number)
                await asyncio.sleep(0)  # a chunk of which nothing can be read waits for no store
    except TimeoutError:
        left = len(message) - writing.seen + 1
        writing.fault(f"{left} of {counted(len(message), 'chunk')} not written within {limit_s:g} s")
    except StoreBusyError as error:
        raise _unprocessed(error) from error
    return Written(writing.result(now() - started), _hash(message), writing.named())


class _Writing:
    def __init__(self, agents: AgentStore, heard: Line[GroupsEvent]) -> None:
        self.seen = 0
        self._heard = heard
        self._agents = agents
        self._updated = 0
        self._faults: list[str] = []
        self._more_faults = 0
        self._ids: set[int] = set()
        self._whole = True

    async def chunk(self, message: AgentMessage, number: int) -> None:
        """A chunk without assignments counts as written, as it does with the original."""
        self.seen += 1
        read = _read(message, number)
        self._ids.update(assignment.id for assignment in read.assignments)
        for text in read.faults:
            self._whole = False
            self.fault(text)
        try:
            if read.assignments:
                await self._agents.set_groups(read.assignments, "override", "synced")
                self._heard.tell(GroupsEvent(assignments=tuple(read.assignments)), len(read.assignments))
        except StoreBusyError:
            raise
        except StoreError as error:
            self.fault(str(error))
        else:
            self._updated += not read.faults

    def fault(self, text: str) -> None:
        if len(self._faults) < _MOST_FAULTS:
            self._faults.append(text)
        else:
            self._more_faults += 1

    def result(self, seconds: float) -> Result:
        more = [f"and {self._more_faults} more"] if self._more_faults else []
        return Result(self._updated, self._faults + more, seconds)

    def named(self) -> frozenset[int] | None:
        return frozenset(self._ids) if self._whole else None


def _read(message: AgentMessage, number: int) -> GroupsRead:
    try:
        return read_groups(message.chunk(number))
    except (PeerError, ValueError, RecursionError) as error:
        return GroupsRead([], UNSET, [f"a chunk that is none: {error}"])


def _hash(message: AgentMessage) -> GroupsHash:
    """It stands in the last chunk; if it does not, nothing is compared."""
    return _read(message, len(message) - 1).hash if len(message) else UNSET


def _unprocessed(error: Exception) -> UnwrittenError:
    return UnwrittenError(f"error processing agent-groups chunks in process pool: {error}")


def _words(text: bytes) -> str | None:
    """What the original says of a text that is no JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return str(error)
    return None
