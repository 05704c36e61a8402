"""What a node tells about itself: counters, last results, the state of a link. No I/O, no clock.

:class:`Status` is the one thing that changes; whoever looks gets a :class:`Snapshot`, which never does.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final

from msgspec import Struct, field, structs

from outrider.errors import Nature
from outrider.spread import Spread
from outrider.working import Shares, Work

_FAILURES: Final = 30
"""So many of the last failures are remembered, each once however often it comes."""
_FINISHED: Final = 100
"""So many of the last rounds of a kind that did something, or failed, are remembered."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How one round of one kind of synchronisation ended.

    ``started`` is in Unix seconds; ``counts`` tells what it did (files written, bytes sent ...);
    ``detail`` says why it failed. ``cpu_seconds`` are its share of the process's (:mod:`outrider.working`); ``bytes``
    travelled for it, and ``saved`` is how much more that would have been had every changed file travelled whole.
    """

    ok: bool
    started: float
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)
    detail: str = ""
    cpu_seconds: float = 0.0
    bytes: int = 0
    saved: int = 0


class Rounds(Struct, frozen=True, kw_only=True):
    """All rounds of one kind: how many, the last, and the last that succeeded; what they took and moved in all."""

    succeeded: int = 0
    failed: int = 0
    last: Outcome | None = None
    last_good: Outcome | None = None
    took: Spread = Spread()
    cpu_seconds: float = 0.0
    bytes: int = 0
    saved: int = 0

    def and_one(self, result: Outcome) -> Rounds:
        """The same with one more."""
        return Rounds(
            succeeded=self.succeeded + result.ok,
            failed=self.failed + (not result.ok),
            last=result,
            last_good=result if result.ok else self.last_good,
            took=self.took.and_one(result.seconds),
            cpu_seconds=self.cpu_seconds + result.cpu_seconds,
            bytes=self.bytes + result.bytes,
            saved=self.saved + result.saved,
        )


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


class Standing(Struct, frozen=True, kw_only=True):
    """Where a tree stands: the number of its generation (0: none that is known), its root (hex), and since when.

    ``in_step``: whether it is what the master has, as far as the last round, or the master, knows, which was at
    ``checked``; ``since`` is when that became so, or not so, and ``reason`` why it is not. Times are Unix seconds.
    """

    number: int = 0
    root: str = ""
    root_since: float | None = None
    files: int | None = None
    in_step: bool = False
    since: float | None = None
    checked: float | None = None
    reason: str = "no round has ended yet"


class Failure(Struct, frozen=True, kw_only=True):
    """What went wrong, the last time at ``at`` (Unix seconds), ``times`` in all; ``peer`` is empty for this node.

    ``nature`` is one of :class:`outrider.errors.Nature`, ``code`` what `outrider explain` knows of; empty for what is
    no error of ours, or a peer's.
    """

    name: str
    reason: str
    nature: str
    at: float
    peer: str = ""
    times: int = 1
    code: str = ""


class Finished(Struct, frozen=True, kw_only=True):
    """A round that moved something or failed, with whom and of which kind."""

    kind: str
    peer: str
    outcome: Outcome


class Certificate(Struct, frozen=True, kw_only=True):
    """The certificate that the cluster's authority gave this node: serial number and authority (SHA-256) in hex.

    ``until`` is in Unix seconds.
    """

    name: str
    serial: str
    authority: str
    until: float


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything at one moment.

    ``links`` counts those that came to stand; ``received`` and ``sent`` are the bytes of those that have ended;
    ``round_trips`` are those of keep-alives; ``failed`` counts failures that are tried again by their nature;
    ``gauges`` are what is measured by looking: lengths of queues and the like.
    """

    link: LinkState
    counters: Mapping[str, int]
    limits_hit: Mapping[str, int]
    kinds: Mapping[str, Rounds]
    notes: Mapping[str, str] = field(default_factory=dict)
    retries: Mapping[str, Retrying] = field(default_factory=dict)
    certificate: Certificate | None = None
    standing: Standing = Standing()
    links: int = 0
    received: int = 0
    sent: int = 0
    round_trips: Spread = Spread()
    failed: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    gauges: Mapping[str, float] = field(default_factory=dict)


class Status:
    """Records what happens, for one link or one node. Names come from our code, never from a peer.

    What a link records is recorded by its node (``node``) as well. ``cpu`` is the port of that name, for a node.
    """

    def __init__(self, node: Status | None = None, *, cpu: Callable[[], float] = lambda: 0.0) -> None:
        self.peer = ""  # whose link this is, once it has said so
        self.certificate: Certificate | None = None
        self.standing = Standing()
        self.shares: Shares = Shares(cpu) if node is None else node.shares
        self._links = 0
        self._received = 0
        self._sent = 0
        self._round_trips = Spread()
        self._failed: Counter[str] = Counter()
        self._failures: dict[tuple[str, str, str], Failure] = {}  # in the order of their last time
        self._gauges: dict[str, list[Callable[[], float]]] = {}
        self._finished: dict[str, deque[Finished]] = {}
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

    def gauge(self, name: str, look: Callable[[], float]) -> None:
        """Have ``look`` tell ``name`` whenever somebody asks; several under one name are added up."""
        self._gauges.setdefault(name, []).append(look)

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

    @property
    def link(self) -> LinkState:
        """The link as it is now."""
        return self._link

    def connected(self, peer: str, at: float) -> None:
        """The link to ``peer`` is up and greeted."""
        self._link = LinkState(connected=True, peer=peer, since=at, reconnects=self._connects)
        self._connects += 1
        (self._node or self).linked()

    def linked(self) -> None:
        """A link came to stand."""
        self._links += 1

    def disconnected(self, reason: str, at: float) -> None:
        """The link is down; a link that never came up may say so as well."""
        self._link = LinkState(peer=self._link.peer, since=at, reconnects=self._link.reconnects, reason=reason)

    def carried(self, received: int, sent: int) -> None:
        """A link has ended over which so many bytes came and went."""
        if self._node is not None:
            self._node.carried(received, sent)
        self._received += received
        self._sent += sent

    def round_trip(self, seconds: float) -> None:
        """A keep-alive was answered after so long."""
        self._round_trips = self._round_trips.and_one(seconds)

    def working(self) -> AbstractContextManager[Work]:
        """A round, for as long as the block lasts: it has a number and costs CPU time."""
        return self.shares.working()

    def finished(self, kind: str, result: Outcome, peer: str = "") -> None:
        """A round of ``kind`` ended."""
        self._kinds[kind] = self._kinds.get(kind, Rounds()).and_one(result)
        if self._node is not None:
            self._node.finished(kind, result, self.peer)
        elif any(result.counts.values()) or not result.ok:
            last = self._finished.setdefault(kind, deque(maxlen=_FINISHED))
            last.append(Finished(kind=kind, peer=peer, outcome=result))

    def history(self, kind: str) -> list[Finished]:
        """The last rounds of ``kind`` that did something or failed, the oldest first; a node's alone has any."""
        return list(self._finished.get(kind, ()))

    def failure(self, failure: Failure) -> None:
        """Something went wrong; the same of the same is remembered once."""
        if self._node is not None:
            self._node.failure(structs.replace(failure, peer=self.peer))
            return
        self._failed[failure.nature] += 1
        what = failure.peer, failure.name, failure.reason
        before = self._failures.pop(what, None)
        times = 1 if before is None else before.times + 1
        self._failures[what] = structs.replace(failure, times=times)
        if len(self._failures) > _FAILURES:
            del self._failures[next(iter(self._failures))]

    def stands(self, *, number: int, root: str, at: float, files: int | None = None) -> None:
        """The tree stands at this generation, or at this root without one, from ``at`` on if it did not before that."""
        now, same = self.standing, root == self.standing.root
        since = min(now.root_since, at) if same and now.root_since is not None else at
        files = now.files if same and files is None else files
        self.standing = structs.replace(now, number=number, root=root, root_since=since, files=files)

    def in_step(self, at: float, reason: str = "") -> None:
        """The tree is what the master has; or is not, for this ``reason``."""
        now, same = self.standing, self.standing.in_step is (not reason)
        since = now.since if same and now.since is not None else at
        self.standing = structs.replace(now, in_step=not reason, since=since, checked=at, reason=reason)

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
            standing=self.standing,
            links=self._links,
            received=self._received,
            sent=self._sent,
            round_trips=self._round_trips,
            failed=dict(self._failed),
            failures=tuple(self._failures.values()),
            gauges={name: sum(look() for look in looks) for name, looks in self._gauges.items()},
        )


def reported(name: str, reason: str, at: float) -> Failure:
    """What a peer says went wrong at its end."""
    return Failure(name=name, reason=reason, nature=Nature.PEER.value, at=at)


def unheard(limit: str) -> None:
    """Take note of a limit that was hit where nobody counts them."""
