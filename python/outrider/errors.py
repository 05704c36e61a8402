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

Every text names the cause and, where a person can act, the remedy. Each error also says how it is to be tried again
(:class:`Nature`), and may name what has to happen first (:class:`Awaits`); :mod:`outrider.retry` has the pauses.
"""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Self


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


class OutriderError(Exception):
    """The root of all errors that this package raises on purpose."""

    nature: Nature = Nature.TEMPORARY
    awaits: Awaits | None = None

    def like(self, cause: OutriderError) -> Self:
        """Have this error, which tells of ``cause``, be tried again as that one is."""
        self.nature, self.awaits = cause.nature, cause.awaits
        return self

    def until(self, awaits: Awaits | None) -> Self:
        """Have this error be tried again when ``awaits`` says that its cause is gone."""
        self.awaits = awaits
        return self


class SettingsError(OutriderError):
    """Our own settings are invalid; the only error that stops a node."""

    nature = Nature.PERMANENT


class PeerError(OutriderError):
    """What the other end sent is wrong; it is refused and nothing of it is kept."""

    nature = Nature.PEER


class Refusal(PeerError):  # noqa: N818  (it is an answer, told as one)
    """A request of the peer that we refuse; it gets ``err`` with this code and detail (specification 7.2)."""

    def __init__(self, code: int, detail: str | None = None) -> None:
        """Keep the code and what the peer is told."""
        super().__init__(f"refused with error {code}" + (f": {detail}" if detail else ""))
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
        self.code = code
        self.detail = detail


class NotExtendedError(PeerError):
    """The peer speaks the base protocol only, where the settings, or what it did before, demand the extended one."""

    nature = Nature.PERMANENT


class ProtocolError(PeerError):
    """The peer broke the protocol; the connection cannot go on. ``limit`` is the setting that it reached, if any."""

    def __init__(self, reason: str, limit: str | None = None) -> None:
        """Keep the setting's dotted name."""
        super().__init__(reason)
        self.limit = limit


class TransportError(OutriderError):
    """The network failed; the same may work later."""


class RequestTimeoutError(TransportError):
    """No answer came within the time (the original's error 3020)."""


class ConnectionLostError(TransportError):
    """The link closed while something waited for it."""


class SyncError(OutriderError):
    """A synchronisation failed as a whole; the tree is as it was."""


class HeldBackError(SyncError):
    """A step is not taken as things are: it deletes too much, is older than what stands here, or failed its check."""

    nature = Nature.PERMANENT


class ReportedError(SyncError):
    """The peer says that it could not do its part, and tries again when it thinks fit: its own log says more."""

    nature = Nature.PERMANENT


_A_PERSON: Final = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT}


class StoreError(OutriderError):
    """The disk or the database of this machine refused.

    What the system said (``number``, an errno) of which file (``path``) decides how it is tried again.
    """

    def __init__(self, text: str, number: int | None = None, path: str = "") -> None:
        """Keep what follows from the number."""
        super().__init__(text)
        if number in _A_PERSON:
            self.nature = Nature.PERMANENT
        if path.startswith("/") and number in _A_PERSON | {errno.ENOENT}:
            self.awaits = Awaits("file", path)
        elif path.startswith("/") and number in _NO_ROOM:
            self.awaits = Awaits("space", path)


class DamagedError(StoreError):
    """A file of this machine is not what was written there; a person chooses what becomes of it."""

    nature = Nature.PERMANENT


class StoreBusyError(StoreError):
    """The database cannot be reached, is locked or full; the same may work later."""


class RecordsRefused(StoreError):  # noqa: N818  (it is an answer, told as one)
    """The database does not take some records of a batch; the text is its own."""


class UnknownAgents(RecordsRefused):
    """The database does not know the agents of these records, and nothing else was wrong with the batch.

    Specification 5.7 counts such a chunk neither as kept nor as an error.
    """
