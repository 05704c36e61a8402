"""How agent information is cut for the wire, and what a master's answer means for what was sent (specification 5.7).

A record leaves a worker only when the answer confirms it or when it alone was refused. An answer does not
say which chunk it complains of, so what was refused is halved until the bad record stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

import msgspec

_TRIES = 3
"""A record that is neither confirmed nor refused is put aside after so many messages of its own."""
_LATER = re.compile(
    r"database (?:table )?is locked|database or disk is full|disk I/O error|readonly database|not written in time"
    r"|unable to open database file|Couldn't open DB|DB global disabled|Error 20(?:05|10)\b"
)
"""Errors of a database that is in trouble: no record's fault, and the same may be taken later."""
_IN_TIME = "not written in time"
_QUOTES = re.compile(r"Invalid JSON")
"""Errors that quote what was sent, which may hold any words."""
_JSON = "error while trying to load JSON"


class Cut(NamedTuple):
    """Records in chunks, and those that are larger than a chunk may be."""

    chunks: list[bytes]
    too_large: list[bytes]


def cut(lines: bytes, limit: int) -> Cut:
    """Join JSON objects, each ended by a line feed, to arrays of at most ``limit`` bytes, in their order."""
    result = Cut([], [])
    start = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + limit - 1)
        if end >= 0:
            result.chunks.append(b"[" + lines[start:end].replace(b"\n", b",") + b"]")
            start = end + 1
        else:
            end = lines.index(b"\n", start)
            result.too_large.append(lines[start:end])
            lines = lines[:start] + lines[end + 1 :]
            if result.chunks:  # it may have room left
                start -= len(result.chunks.pop()) - 1
    return result


def join(records: Sequence[bytes]) -> bytes:
    """A chunk of these records."""
    return b"[" + b",".join(records) + b"]"


_array = msgspec.json.Decoder(list[msgspec.Raw])


def records_of(chunk: bytes) -> list[bytes]:
    """The records of a chunk, byte for byte."""
    return [bytes(record) for record in _array.decode(chunk)]


def halves(chunk: bytes) -> tuple[bytes, bytes]:
    """A chunk of several records as two chunks."""
    records = records_of(chunk)
    middle = len(records) // 2
    return join(records[:middle]), join(records[middle:])


class Verdict(Enum):
    """What became of a message."""

    KEPT = auto()
    """Every chunk is confirmed."""
    LATER = auto()
    """Nobody's fault but the moment's: the same again, after a pause."""
    SLOW = auto()
    """The time did not suffice for any of it: less, after a pause."""
    REFUSED = auto()
    """Something in it will never be taken."""
    SHORT = auto()
    """Less was kept than sent and nobody says why: the time ran out, or an agent's group is unknown (5.7)."""


def judge(sent: int, updated: int, errors: Sequence[str]) -> Verdict:
    """The verdict on ``sent`` chunks by the master's result."""
    if any(_QUOTES.search(error) or not _LATER.search(error) for error in errors):
        return Verdict.REFUSED
    if errors:
        if updated:
            return Verdict.SHORT
        return Verdict.SLOW if any(_IN_TIME in error for error in errors) else Verdict.LATER
    return Verdict.KEPT if updated == sent else Verdict.SHORT


def judge_failure(text: str) -> Verdict:
    """The verdict when the master could do nothing with the message and says so in ``text``."""
    return Verdict.SHORT if text.startswith(_JSON) else Verdict.LATER


class Step(Enum):
    """What to do with the message that was judged."""

    CONFIRM = auto()
    AGAIN = auto()
    """Its first half next, or the halves of its only chunk."""
    WAIT = auto()
    SPLIT = auto()
    """Cut its only chunk in halves, then go on with the first."""
    PUT_ASIDE = auto()


class Pace:
    """How many chunks, from the oldest on, the next message takes; ``most`` when all is well.

    Stretches in which something was refused are worked off first, each in halves of its own.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = most
        self._stretches: list[int] = []  # the next one last
        self._tries = 0

    @property
    def chunks(self) -> int:
        """How many chunks the next message takes at most."""
        return self._stretches[-1] if self._stretches else self._limit

    def learn(self, verdict: Verdict, sent: int, records: int) -> Step:
        """What to do now; ``records`` are those of the message's only chunk and matter only then."""
        if verdict is Verdict.LATER:
            return Step.WAIT
        if self._stretches:
            self._stretches.pop()
        if verdict is Verdict.SLOW:
            return self._less(sent)
        if verdict is Verdict.KEPT:
            self._tries = 0
            if not self._stretches:
                self._limit = min(self._most, self._limit * 2)
            return Step.CONFIRM
        if verdict is Verdict.SHORT:
            self._limit = max(1, sent // 2)
        if sent > 1:
            self._stretches += [sent - sent // 2, sent // 2]
            return Step.AGAIN
        if records > 1:
            self._stretches += [1, 1]
            return Step.SPLIT
        return self._alone(verdict)

    def _less(self, sent: int) -> Step:
        """Whole chunks only: a master that is slow says nothing against any record."""
        self._limit = max(1, sent // 2)
        self._stretches += [sent - sent // 2, sent // 2] if sent > 1 else [1]
        return Step.WAIT

    def _alone(self, verdict: Verdict) -> Step:
        self._tries += 1
        if verdict is Verdict.SHORT and self._tries < _TRIES:
            self._stretches.append(1)
            return Step.WAIT
        self._tries = 0
        return Step.PUT_ASIDE
