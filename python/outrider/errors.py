"""Everything that can go wrong, by whose fault it is and what comes next.

::

    OutriderError
    ├── SettingsError        ours: the node does not start; the text names the key and the remedy
    ├── PeerError            the other end's: what it sent is refused, the link may go on
    │   ├── Refusal          a request of the peer that we answer with ``err`` and a code of specification 7.2
    │   ├── RefusedByPeer    the peer answered ``err``; carries the code of specification 7.2
    │   ├── NotExtendedError the peer speaks the base protocol only, where the extended one is expected of it
    │   └── ProtocolError    the peer broke the protocol: the connection closes with one reason
    ├── TransportError       nobody's: the network's; try again later
    │   ├── RequestTimeoutError    no answer within the time
    │   └── ConnectionLostError    the link is gone
    ├── SyncError            a round failed as a whole: nothing changed, rolled back, tried again
    │   ├── HeldBackError    a step is not taken before a person or the next generation changes something
    │   └── ReportedError    the other end says that it failed there
    └── StoreError           this machine's disk or database refused
        ├── DamagedError     a file that a person must look at
        ├── StoreBusyError   it cannot be reached, is locked or full: the same may work later
        └── RecordsRefused   it will never take these records; the others of the batch may stand
            └── UnknownAgents    because it does not know their agents: no fault of who sent them (5.7)

Every text names the cause and, where a person can act, the remedy; its ``situation`` is the code under which
``outrider explain`` says more (:class:`outrider.codes.Code`, or the number of specification 7.2). Each error also says
how it is to be tried again (:class:`Nature`), and may name what has to happen first (:class:`Awaits`);
:mod:`outrider.retry` has the pauses.
"""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Self

from outrider.codes import Code


class Nature(StrEnum):
    """What mends an error: time, a person, or the other end's better manners."""

    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    PEER = "the peer's fault"


class Awaits(NamedTuple):
    """What tells that the cause of an error is gone: an absolute path, and what is to happen there.

    ``file``: it appears, changes, or may be written; ``socket``: a program answers there; ``database``: nobody
    holds it locked; ``space``: its file system has more room.
    """

    what: Literal["file", "socket", "database", "space"]
    path: str

    def __str__(self) -> str:
        """For a person."""
        return f"{self.what} {self.path}"


class Line(NamedTuple):
    """One line of what an error says, and the code that explains it; a line that only goes on has none."""

    text: str
    code: str = ""


class OutriderError(Exception):
    """The root of all errors that this package raises on purpose."""

    nature: Nature = Nature.TEMPORARY
    awaits: Awaits | None = None
    situation: str = Code.OTHER

    def coded(self, code: str) -> Self:
        """Have this error be explained under ``code``, which says more than that of its class."""
        self.situation = code
        return self

    @property
    def lines(self) -> tuple[Line, ...]:
        """What it says, line by line."""
        first, *more = str(self).splitlines() or [""]
        return (Line(first or type(self).__name__, self.situation), *map(Line, more))

    def like(self, cause: OutriderError) -> Self:
        """Have this error, which tells of ``cause``, be tried again and explained as that one is."""
        self.nature, self.awaits, self.situation = cause.nature, cause.awaits, cause.situation
        return self

    def until(self, awaits: Awaits | None) -> Self:
        """Have this error be tried again when ``awaits`` says that its cause is gone."""
        self.awaits = awaits
        return self


def _lines_of(text: str, code: str) -> list[Line]:
    return [Line(line, code) for line in text.splitlines()] or [Line(text, code)]


class SettingsError(OutriderError):
    """Our own settings are invalid; the only error that stops a node."""

    nature = Nature.PERMANENT
    situation = Code.SETTINGS

    def __init__(self, *wrong: str | Line) -> None:
        """Keep everything that is wrong, each line with a code of its own if it has one."""
        told = [line for one in wrong for line in (_lines_of(one, self.situation) if isinstance(one, str) else [one])]
        super().__init__("\n".join(line.text for line in told))
        self._told = told

    def coded(self, code: str) -> Self:
        """Have all of it be explained under ``code``."""
        self._told = [line._replace(code=code) for line in self._told]
        return super().coded(code)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Everything that is wrong."""
        return tuple(self._told)


class PeerError(OutriderError):
    """What the other end sent is wrong; it is refused and nothing of it is kept."""

    nature = Nature.PEER
    situation: str = Code.PEER


class Refusal(PeerError):  # noqa: N818  (it is an answer, told as one)
    """A request of the peer that we refuse; it gets ``err`` with this code and detail (specification 7.2)."""

    def __init__(self, code: int, detail: str | None = None) -> None:
        """Keep the code and what the peer is told."""
        super().__init__(f"refused with error {code}" + (f": {detail}" if detail else ""))
        self.situation = str(code)
        self.code = code
        self.detail = detail


_REFUSALS: Final = {
    1000: Nature.TEMPORARY,  # the peer's own trouble
    3028: Nature.TEMPORARY,  # the name is taken, until its old connection is known to be dead
    3029: Nature.PERMANENT,  # it is the master's
    3030: Nature.PERMANENT,  # another cluster
    3031: Nature.PERMANENT,  # another version
}
"""By the codes of specification 7.2."""


class RefusedByPeer(PeerError):  # noqa: N818  (it is an answer, told as one)
    """The peer answered a request of ours with ``err``.

    ``code`` is the code of specification 7.2 (3000 where the peer sent plain text), ``detail`` its
    ``extra_message`` or the plain text.
    """

    def __init__(self, code: int, detail: str | None = None) -> None:
        """Keep the code and the peer's own words."""
        super().__init__(f"the peer answered with error {code}" + (f": {detail}" if detail else ""))
        self.nature = _REFUSALS.get(code, Nature.PEER)
        self.situation = str(code)
        self.code = code
        self.detail = detail


class NotExtendedError(PeerError):
    """The peer speaks the base protocol only, where the settings, or what it did before, demand the extended one."""

    nature = Nature.PERMANENT
    situation = Code.NOT_EXTENDED


class ProtocolError(PeerError):
    """The peer broke the protocol; the connection cannot go on. ``limit`` is the setting that it reached, if any."""

    situation = Code.PROTOCOL_BROKEN

    def __init__(self, reason: str, limit: str | None = None) -> None:
        """Keep the setting's dotted name."""
        super().__init__(reason)
        self.limit = limit
        if limit is not None:
            self.situation = Code.PEER_LIMIT


class TransportError(OutriderError):
    """The network failed; the same may work later."""

    situation = Code.NETWORK


class RequestTimeoutError(TransportError):
    """No answer came within the time (the original's error 3020)."""

    situation = Code.REQUEST_TIMEOUT


class ConnectionLostError(TransportError):
    """The link closed while something waited for it."""

    situation = Code.LINK_LOST


class SyncError(OutriderError):
    """A synchronisation failed as a whole; the tree is as it was."""

    situation = Code.NOT_APPLIED


class HeldBackError(SyncError):
    """A step is not taken as things are: it deletes too much, is older than what stands here, or failed its check.

    ``deleted``: files that it would delete, if that is too many.
    """

    nature = Nature.PERMANENT
    situation = Code.HELD_BACK

    def __init__(self, text: str, deleted: int = 0) -> None:
        """Keep how many."""
        super().__init__(text)
        self.deleted = deleted


class ReportedError(SyncError):
    """The peer says that it could not do its part, and tries again when it thinks fit: its own log says more."""

    nature = Nature.PERMANENT


_A_PERSON: Final = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT}
_SITUATIONS: Final = {
    **dict.fromkeys(_A_PERSON, Code.FORBIDDEN),
    **dict.fromkeys(_NO_ROOM, Code.DISK_FULL),
    errno.ENOENT: Code.FILE_MISSING,
    errno.EIO: Code.DISK_FAILS,
}


class StoreError(OutriderError):
    """The disk or the database of this machine refused.

    What the system said (``number``, an errno) of which file (``path``) decides how it is tried again, and the code.
    """

    situation = Code.STORE

    def __init__(self, text: str, number: int | None = None, path: str = "") -> None:
        """Keep what follows from the number."""
        super().__init__(text)
        if number is not None:
            self.situation = _SITUATIONS.get(number, self.situation)
        if number in _A_PERSON:
            self.nature = Nature.PERMANENT
        if path.startswith("/") and number in _A_PERSON | {errno.ENOENT}:
            self.awaits = Awaits("file", path)
        elif path.startswith("/") and number in _NO_ROOM:
            self.awaits = Awaits("space", path)


class DamagedError(StoreError):
    """A file of this machine is not what was written there; a person chooses what becomes of it."""

    nature = Nature.PERMANENT
    situation = Code.DAMAGED


class StoreBusyError(StoreError):
    """The database cannot be reached, is locked or full; the same may work later."""

    situation = Code.BUSY


class RecordsRefused(StoreError):  # noqa: N818  (it is an answer, told as one)
    """The database does not take some records of a batch; the text is its own."""

    situation = Code.RECORDS_REFUSED


class UnknownAgents(RecordsRefused):
    """The database does not know the agents of these records, and nothing else was wrong with the batch.

    Specification 5.7 counts such a chunk neither as kept nor as an error.
    """

    situation = Code.UNKNOWN_AGENTS
