"""What a kind of synchronisation is made of. Our own kinds and those of packages look the same from here.

A :class:`Kind` is a value: its name, its commands, and what makes its halves. A :class:`Half` lives as long as its
node and makes a :class:`Talk` for each connection. What they may use is handed to them, as a :class:`NodeGround` and
a :class:`LinkGround`; they know neither the node nor other kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from msgspec import Struct

from outrider.exchange.session import Serve, Session
from outrider.hooks import NodeEvents
from outrider.kinds.signals import Signal
from outrider.model import NodeInfo
from outrider.ports import Ports
from outrider.protocol.commands import Command
from outrider.settings import Live, Settings
from outrider.status import Status
from outrider.store.agents import AgentStore
from outrider.store.tree import FileTree
from outrider.supervise import Supervisor

Role = Literal["worker", "master"]
Work = Callable[[], Coroutine[Any, Any, None]]
Task = tuple[str, Work]
"""What runs again and again: its name and its work, which is tried again when it fails, until it returns."""

MASTER: Final = "master"
"""The name of the master for its workers; no worker can have it."""

T = TypeVar("T", bound="Talk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of synchronisation. ``worker`` and ``master`` make its half in that role; ``None``: it has none there.

    ``commands`` are all that its halves serve, in either role. ``interval_s`` is the default of
    ``kinds.NAME.interval``, in seconds, 0 if nothing happens at an interval; ``options`` has the type and the default
    of every other key of ``[kinds.NAME]``. ``vital``: a node ends rather than run without it; any other kind that
    cannot begin is left out. ``feature``: its talks run tasks only with peers that have this feature of the extended
    link, and on such a link those of the kind ``instead_of`` rest.
    """

    name: str
    commands: tuple[Command, ...] = ()
    interval_s: float = 0.0
    options: type[Struct] | None = None
    worker: Callable[[NodeGround], Half[Any]] | None = None
    master: Callable[[NodeGround], Half[Any]] | None = None
    vital: bool = False
    feature: str = ""
    instead_of: str = ""

    def half(self, role: Role) -> Callable[[NodeGround], Half[Any]] | None:
        """What makes the half of this role."""
        return self.worker if role == "worker" else self.master


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGround:
    """What a half may use of its node.

    ``nodes`` gives who is in the cluster as this node sees it, itself first. ``applied`` is emitted when files of
    the tree were replaced; ``events`` is what the node's host hears. ``settings`` are those of the moment, without the
    cluster's keys: read one when it is needed and it is what is in force; ``live`` tells when they become others.
    ``interval_s`` and ``options`` are the kind's own, as the start of the node found them: seconds, and a value of the
    type that the kind named.
    """

    node: NodeInfo
    live: Live
    ports: Ports
    status: Status
    supervisor: Supervisor
    agents: AgentStore
    tree: FileTree
    nodes: Callable[[], Sequence[NodeInfo]]
    applied: Signal
    events: NodeEvents
    interval_s: float = 0.0
    options: Any = None

    @property
    def settings(self) -> Settings:
        """The settings of this moment."""
        return self.live.now


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkGround:
    """What a talk may use: its node's ground, and this connection's session, status and tasks."""

    node: NodeGround
    session: Session
    status: Status
    supervisor: Supervisor


class Talk:
    """What one half says and serves over one connection. Each method may stay as it is."""

    def serves(self) -> Mapping[Command, Serve]:
        """What answers each command of the peer; asked once, before the connection opens."""
        return {}

    def tasks(self) -> Sequence[Task]:
        """What runs from the moment at which the peer has joined until the connection ends."""
        return ()

    def joined(self) -> None:
        """The peer is known: it may be asked. No pause here."""

    def lost(self, reason: str) -> None:
        """The connection is gone, whether the peer had joined or not; ``reason`` is a line for people."""

    @property
    def free(self) -> bool:
        """Whether nothing of this kind is under way with the peer."""
        return True


class Half(ABC, Generic[T]):
    """One node's half of a kind, from the start of the node to its end.

    ``talks`` holds those whose peer has joined, by the peer's name (``"master"`` for a master); the node keeps it.
    """

    def __init__(self) -> None:
        self.talks: dict[str, T] = {}

    async def start(self) -> None:
        """Open what this half needs; the node neither listens nor dials before it returns."""

    def tasks(self) -> Sequence[Task]:
        """What runs while the node does, connected or not."""
        return ()

    @abstractmethod
    def talk(self, link: LinkGround) -> T:
        """The part of this half in a connection that is about to open."""

    async def close(self) -> None:
        """Give up everything; also after a start that failed or was cancelled."""


class _Stateless(Half[T]):
    def __init__(self, talk: Callable[[LinkGround], T]) -> None:
        super().__init__()
        self._talk = talk

    def talk(self, link: LinkGround) -> T:
        return self._talk(link)


def stateless(talk: Callable[[LinkGround], T]) -> Callable[[NodeGround], Half[T]]:
    """What makes a half that keeps nothing from one connection to the next: all it does is in its talks."""
    return lambda _: _Stateless(talk)
