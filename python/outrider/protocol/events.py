"""What a connection tells its owner. One is made for every frame: a Struct takes a fifth of a NamedTuple's time."""

from __future__ import annotations

from msgspec import Struct

from outrider.protocol.commands import Command


class Requested(Struct, frozen=True, order=True):
    """The peer asks; answer with ``Connection.reply`` under the same counter."""

    counter: int
    command: Command
    payload: bytes


class Answered(Struct, frozen=True):
    """The peer answered a request of ours; ``name`` is ``ok``, ``err``, ``ok-m``, ``ok-c`` or something else."""

    counter: int
    name: bytes
    payload: bytes


class TimedOut(Struct, frozen=True):
    """No answer came for a request of ours within its time; a late one will be dropped."""

    counter: int


class Closed(Struct, frozen=True):
    """The connection cannot go on; close the stream.

    ``reason`` is for the log, ``limit`` names the setting that was reached, if one was.
    """

    reason: str
    limit: str | None = None


Event = Requested | Answered | TimedOut | Closed
