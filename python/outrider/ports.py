"""What a node takes from the world: time, chance, threads and network, as values that a test can replace.

Nothing above this file calls a clock, a random source, a thread pool, a socket or the system's notices of
changed files by name. A simulation hands in a clock that jumps and a network of two queues; with one seed it runs
the same way twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, Protocol, TypeVar

from msgspec import Struct

if TYPE_CHECKING:  # rooms that must not see the event loop or the disk import this file
    import asyncio
    from pathlib import Path

    from outrider._native import FilesTable, Plan

P = ParamSpec("P")
T = TypeVar("T")


class Instant(Struct, frozen=True):
    """One reading of both clocks: ``monotonic`` seconds for deadlines, ``wall`` Unix seconds for token times."""

    monotonic: float
    wall: float


class Threads(Protocol):
    """Runs blocking work (disk, database, compression, hashing) off the event loop."""

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a thread and return or raise what it does."""
        ...


class Listener(Protocol):
    """An open door; closing it leaves the connections that came through it."""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each bound address."""
        ...

    def close(self) -> None:
        """Accept no more."""
        ...


class Identity(NamedTuple):
    """A node's own certificate as PEM text, and the file that holds it with its key."""

    certificate: str
    file: Path


class Authorities(NamedTuple):
    """Whoever an authority of ``file`` (PEM, with the lists of what they have revoked) vouches for.

    ``name`` is whom the certificate must name, empty for anybody. ``strangers``: a client may show none at all.
    """

    file: Path
    name: str = ""
    strangers: bool = False


class Tls(NamedTuple):
    """How a stream turns to TLS: which side this is, with what, whom it trusts, within what time.

    ``trusted`` is the PEM text of the one certificate that the peer must show, or the authorities that vouch for it.
    Whoever joins has no ``identity`` yet, and with ``None`` trusts nobody: it looks at what is shown itself.
    """

    server: bool
    identity: Identity | None
    trusted: str | Authorities | None
    timeout_s: float


class Secured(NamedTuple):
    """The stream inside TLS, what the peer said in it meanwhile, and the certificate that it showed (DER), if any."""

    stream: asyncio.Transport
    early: bytes
    shown: bytes | None


class Network(Protocol):
    """Makes byte streams: out to an address, in from one, and to programs of this machine. Secures one that stands."""

    async def dial(self, host: str, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.BaseProtocol:
        """Connect, hand the stream to a protocol of ``factory`` and return it; :class:`TransportError` if refused."""
        ...

    async def dial_local(self, path: Path, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.BaseProtocol:
        """Connect to the unix socket at ``path``; otherwise as :meth:`dial`."""
        ...

    async def listen_local(
        self, path: Path, factory: Callable[[], asyncio.BaseProtocol], *, owner: tuple[int, int] | None = None
    ) -> Listener:
        """Hand each program that connects to the unix socket at ``path`` (mode 660) to a protocol of its own.

        A socket that a dead node left is replaced; :class:`TransportError` if one is in use, or none can be made.
        """
        ...

    async def listen(self, host: str, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> Listener:
        """Hand each stream that arrives at ``host``:``port`` (0: any free port) to a protocol of its own.

        :class:`TransportError` if the address or the port cannot be had.
        """
        ...

    async def secure(
        self, stream: asyncio.Transport, protocol: asyncio.BaseProtocol, terms: Tls, said: bytes = b""
    ) -> Secured:
        """Run TLS inside ``stream``, whose reading is paused; ``protocol`` owns what comes of it.

        ``said`` is what the peer has said of it already. :class:`TransportError` says which side refused what; the
        stream is gone then.
        """
        ...


class Burst(Protocol):
    """Changes in watched folders that came together."""

    @property
    def folders(self) -> list[str]:
        """Folders below the home in which something changed, for the log."""
        ...

    @property
    def lost(self) -> bool:
        """Whether there may be changes that nobody told."""
        ...


class Bursts(Protocol):
    """Folders that are being watched."""

    @property
    def reason(self) -> str | None:
        """Why a part of them, or all, is not watched, and what to do; ``None`` if all are."""
        ...

    async def next(self) -> Burst:
        """Wait until something was changed and it is quiet again."""
        ...

    def begin(self) -> None:
        """From here on files are changed by this node itself.

        It blocks for a moment, as :meth:`end` does: call both in threads.
        """
        ...

    def end(self, plan: Plan | None) -> None:
        """It has done what ``plan`` says, or nothing: a burst tells what else was changed meanwhile."""
        ...


class Watching(Protocol):
    """Tells of changed files as they change."""

    def open(
        self, home: Path, table: FilesTable, *, settle_s: float, longest_s: float
    ) -> AbstractAsyncContextManager[Bursts]:
        """Watch the folders of ``table`` below ``home``: from when it is entered until it is left.

        A burst is over when it was quiet for ``settle_s`` seconds, or ``longest_s`` after its start.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The world of one node.

    ``monotonic`` gives seconds for deadlines (the event loop's own clock, so that timers and
    deadlines agree), ``wall`` Unix seconds for token times and file names, ``cpu`` the seconds of CPU time that the
    process has taken so far, in all its threads.
    """

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    cpu: Callable[[], float]
    random: Random
    threads: Threads
    network: Network
    watching: Watching
    sleep: Callable[[float], Awaitable[None]]

    def now(self) -> Instant:
        """Read both clocks."""
        return Instant(self.monotonic(), self.wall())
