"""What a node tells about itself: counters, last results, the state of a link. No I/O, no clock.

:class:`Status` is the one thing that changes; whoever looks gets a :class:`Snapshot`, which never does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct, field


class Outcome(Struct, frozen=True, kw_only=True):
    """How one round of one kind of synchronisation ended.

    ``started`` is in Unix seconds; ``counts`` tells what it did (files written, bytes sent ...);
    ``detail`` says why it failed.
    """

    ok: bool
    started: float
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)
    detail: str = ""


class Rounds(Struct, frozen=True, kw_only=True):
    """All rounds of one kind: how many, the last, and the last that succeeded."""

    succeeded: int = 0
    failed: int = 0
    last: Outcome | None = None
    last_good: Outcome | None = None


class LinkState(Struct, frozen=True, kw_only=True):
    """The link to one peer; ``since`` is the Unix time of its last change."""

    connected: bool = False
    peer: str = ""
    since: float | None = None
    reconnects: int = 0
    reason: str = ""


class Retrying(Struct, frozen=True, kw_only=True):
    """Something that failed and is tried again; times are Unix seconds.

    ``nature`` is one of :class:`outrider.errors.Nature`; ``failures`` in a row, the first at ``since``; ``awaits``
    is what ends the pause before ``next_try``, if something does. ``next_try`` is ``None`` if a peer decides when.
    ``code`` is what ``outrider explain`` takes.
    """

    nature: str
    failures: int
    since: float
    reason: str
    next_try: float | None
    awaits: str = ""
    code: str = ""


class Certificate(Struct, frozen=True, kw_only=True):
    """The certificate that the cluster's authority gave this node: serial number and authority (SHA-256) in hex.

    ``until`` is in Unix seconds.
    """

    name: str
    serial: str
    authority: str
    until: float


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything at one moment."""

    link: LinkState
    counters: Mapping[str, int]
    limits_hit: Mapping[str, int]
    kinds: Mapping[str, Rounds]
    notes: Mapping[str, str] = field(default_factory=dict)
    retries: Mapping[str, Retrying] = field(default_factory=dict)
    certificate: Certificate | None = None


class Status:
    """Records what happens, for one link or one node. Names come from our code, never from a peer.

    What a link records is recorded by its node (``node``) as well.
    """

    def __init__(self, node: Status | None = None) -> None:
        self.peer = ""  # whose link this is, once it has said so
        self.certificate: Certificate | None = None
        self._node = node
        self._link = LinkState()
        self._connects = 0
        self._counters: Counter[str] = Counter()
        self._limits: Counter[str] = Counter()
        self._kinds: dict[str, Rounds] = {}
        self._notes: dict[str, str] = {}
        self._retries: dict[str, Retrying] = {}

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        self._counters[name] += by
        if self._node is not None:
            self._node.count(name, by)

    def limit_hit(self, name: str) -> None:
        """A limit of the settings was reached; ``name`` is its key."""
        self._limits[name] += 1
        if self._node is not None:
            self._node.limit_hit(name)

    def note(self, subject: str, text: str | None) -> None:
        """What a person ought to know of ``subject`` as things are; ``None``: nothing any more."""
        self._notes.pop(subject, None)
        if text is not None:
            self._notes[subject] = text

    def retrying(self, name: str, how: Retrying | None) -> None:
        """``name`` failed and is tried again; ``None``: it works, or nobody tries any more."""
        self._retries.pop(name, None)
        if how is not None:
            self._retries[name] = how
        if self._node is not None:
            self._node.retrying(f"{self.peer}: {name}", how)

    def connected(self, peer: str, at: float) -> None:
        """The link to ``peer`` is up and greeted."""
        self._link = LinkState(connected=True, peer=peer, since=at, reconnects=self._connects)
        self._connects += 1

    def disconnected(self, reason: str, at: float) -> None:
        """The link is down; a link that never came up may say so as well."""
        self._link = LinkState(peer=self._link.peer, since=at, reconnects=self._link.reconnects, reason=reason)

    def finished(self, kind: str, result: Outcome) -> None:
        """A round of ``kind`` ended."""
        so_far = self._kinds.get(kind, Rounds())
        self._kinds[kind] = Rounds(
            succeeded=so_far.succeeded + result.ok,
            failed=so_far.failed + (not result.ok),
            last=result,
            last_good=result if result.ok else so_far.last_good,
        )
        if self._node is not None:
            self._node.finished(kind, result)

    def snapshot(self) -> Snapshot:
        """Everything as it is now; later changes do not reach it."""
        return Snapshot(
            link=self._link,
            counters=dict(self._counters),
            limits_hit=dict(self._limits),
            kinds=dict(self._kinds),
            notes=dict(self._notes),
            retries=dict(self._retries),
            certificate=self.certificate,
        )


def unheard(limit: str) -> None:
    """Take note of a limit that was hit where nobody counts them."""
