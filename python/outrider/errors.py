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
    │   └── HeldBackError    a step is not taken before a person or the next generation changes something
    └── StoreError           this machine's disk or database refused
        ├── StoreBusyError   it cannot be reached, is locked or full: the same may work later
        └── RecordsRefused   it will never take these records; the others of the batch may stand
            └── UnknownAgents    because it does not know their agents: no fault of who sent them (5.7)

Every text names the cause and, where a person can act, the remedy.
"""

from __future__ import annotations


class OutriderError(Exception):
    """The root of all errors that this package raises on purpose."""


class SettingsError(OutriderError):
    """Our own settings are invalid; the only error that stops a node."""


class PeerError(OutriderError):
    """What the other end sent is wrong; it is refused and nothing of it is kept."""


class Refusal(PeerError):  # noqa: N818  (it is an answer, told as one)
    """A request of the peer that we refuse; it gets ``err`` with this code and detail (specification 7.2)."""

    def __init__(self, code: int, detail: str | None = None) -> None:
        """Keep the code and what the peer is told."""
        super().__init__(f"refused with error {code}" + (f": {detail}" if detail else ""))
        self.code = code
        self.detail = detail


class RefusedByPeer(PeerError):  # noqa: N818  (it is an answer, told as one)
    """The peer answered a request of ours with ``err``.

    ``code`` is the code of specification 7.2 (3000 where the peer sent plain text), ``detail`` its
    ``extra_message`` or the plain text.
    """

    def __init__(self, code: int, detail: str | None = None) -> None:
        """Keep the code and the peer's own words."""
        super().__init__(f"the peer answered with error {code}" + (f": {detail}" if detail else ""))
        self.code = code
        self.detail = detail


class NotExtendedError(PeerError):
    """The peer speaks the base protocol only, where the settings, or what it did before, demand the extended one."""


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


class StoreError(OutriderError):
    """The disk or the database of this machine refused."""


class StoreBusyError(StoreError):
    """The database cannot be reached, is locked or full; the same may work later."""


class RecordsRefused(StoreError):  # noqa: N818  (it is an answer, told as one)
    """The database does not take some records of a batch; the text is its own."""


class UnknownAgents(RecordsRefused):
    """The database does not know the agents of these records, and nothing else was wrong with the batch.

    Specification 5.7 counts such a chunk neither as kept nor as an error.
    """
