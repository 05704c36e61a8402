"""What a connection tells its owner."""

from __future__ import annotations

from typing import NamedTuple

from outrider.protocol.commands import Command


class Requested(NamedTuple):
    """The peer asks; answer with ``Connection.reply`` under the same counter."""

    counter: int
    command: Command
    payload: bytes


class Answered(NamedTuple):
    """The peer answered a request of ours; ``name`` is ``ok``, ``err``, ``ok-m``, ``ok-c`` or something else."""

    counter: int
    name: bytes
    payload: bytes


class TimedOut(NamedTuple):
    """No answer came for a request of ours within its time; a late one will be dropped."""

    counter: int


class Closed(NamedTuple):
    """The connection cannot go on; close the stream.

    ``reason`` is for the log, ``limit`` names the setting that was reached, if one was.
    """

    reason: str
    limit: str | None = None


Event = Requested | Answered | TimedOut | Closed
