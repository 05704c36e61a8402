"""Agents as lines of JSON, out of a store and into one: the columns of each, and its ``groups``."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import msgspec

from outrider.cli.options import Failure
from outrider.cli.progress import Count
from outrider.codes import Code
from outrider.errors import StoreError
from outrider.model import GROUP_NAMES, MOST_GROUPS, AgentId, AgentInfo, GroupAssignment, is_group_name
from outrider.printable import counted
from outrider.protocol.agents import decode_agents, encode_agent
from outrider.store.sqlite import SqliteStore
from outrider.store.sqlite.listing import KnownAgent

_BATCH = 1000
"""So many lines become one transaction."""
_LONGEST_LINE = 1 << 20


class Line(NamedTuple):
    """What a line says; either part may be absent."""

    info: AgentInfo | None
    groups: GroupAssignment | None


def as_line(agent: KnownAgent) -> str:
    """One agent for :func:`read_line` to read."""
    info = b'{"id":%d}' % agent.id if agent.info is None else encode_agent(agent.info)
    groups = b',"groups":' + msgspec.json.encode(agent.groups) if agent.groups else b""
    return (info[:-1] + groups + b"}").decode()


def read_line(line: bytes) -> Line:
    """Read one line; :class:`ValueError` says what is wrong with it."""
    if len(line) >= _LONGEST_LINE:
        raise ValueError(f"it is longer than {_LONGEST_LINE:,} bytes")
    try:
        columns = msgspec.json.decode(line, type=dict[str, Any])
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    names = msgspec.convert(columns.pop("groups", None), tuple[str, ...] | None)
    number = msgspec.convert(columns.get("id"), AgentId)
    groups = None if names is None else GroupAssignment(number, checked(names))
    if set(columns) == {"id"} and groups:
        return Line(None, groups)
    columns.setdefault("connection_status", "never_connected")
    return Line(decode_agents(msgspec.json.encode([columns]))[0], groups)


def checked(groups: tuple[str, ...]) -> tuple[str, ...]:
    """``groups`` if an agent may have them; :class:`ValueError` says why not, before anything is changed."""
    if wrong := [name for name in groups if not is_group_name(name)]:
        raise ValueError(f"no group may be called {wrong[0][:80]!r}: use {GROUP_NAMES}")
    if len(set(groups)) > MOST_GROUPS:
        raise ValueError(f"{len(set(groups))} groups are more than the {MOST_GROUPS} that an agent may have")
    return groups


class Import:
    """The lines of a file on their way into a store; how far they are may be looked at meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        self.imported = 0
        self._file = file
        self._size = _size(file)
        self._read = 0

    async def into(self, store: SqliteStore) -> int:
        """Put all of them there; how many they were. A :class:`Failure` says how many lie there already."""
        try:
            for batch in _batches(self._lines()):
                self.imported += await _store(store, batch.lines)
                if batch.fault:
                    raise Failure(f"{batch.fault}; {self._before()}", Code.IMPORT_LINE)
        except StoreError as error:
            raise Failure(f"{error}; {self._before()}", error.situation) from error
        return self.imported

    def count(self) -> Count:
        """By the bytes of the file; a pipe does not say how many there are."""
        return Count(self._read, self._size, counted(self.imported, "agent"))

    def left(self) -> str:
        """What is so when this is interrupted now."""
        return f"{counted(self.imported, 'agent')} imported, or some more; to import them again changes nothing"

    def _before(self) -> str:
        return f"imported before it: {counted(self.imported, 'agent')}"

    def _lines(self) -> Iterator[bytes]:
        while line := self._file.readline(_LONGEST_LINE):
            self._read += len(line)
            yield line


class _Batch(NamedTuple):
    lines: list[Line]
    fault: str = ""
    """What is wrong with the line behind them, if that ends the import."""


def _batches(lines: Iterator[bytes]) -> Iterator[_Batch]:
    batch: list[Line] = []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            batch.append(read_line(text))
        except ValueError as error:
            yield _Batch(batch, f"line {number}: {error}")
            return
        if len(batch) == _BATCH:
            yield _Batch(batch)
            batch = []
    yield _Batch(batch)


async def _store(store: SqliteStore, batch: list[Line]) -> int:
    await store.put([line.info for line in batch if line.info])
    await store.set_groups([line.groups for line in batch if line.groups], status="syncreq")
    return len(batch)


def _size(file: IO[bytes]) -> int | None:
    """How long ``file`` is; a pipe does not say."""
    try:
        found = os.fstat(file.fileno())
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
