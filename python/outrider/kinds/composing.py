"""The kinds of one node put together: their halves while it runs, and their talks for each connection.

A kind that fails, at whatever point, is named, counted and left out there; the others go on. Only one that is vital
takes the node along, and only at its start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from outrider.exchange.session import Serve, Session
from outrider.kinds.guard import Guard
from outrider.kinds.interface import Half, Kind, LinkGround, NodeGround, Role, Talk, Task
from outrider.kinds.options import options_of
from outrider.logs import Tag, task_logger
from outrider.protocol.commands import Command, To
from outrider.status import Status
from outrider.supervise import Supervisor

T = TypeVar("T")


class _Running:
    """One kind at this node: its half, its ground, its guard, and the commands of its own that this role serves."""

    def __init__(self, kind: Kind, role: Role, half: Half[Any], ground: NodeGround, guard: Guard) -> None:
        side = To.WORKER if role == "worker" else To.MASTER
        self.kind = kind
        self.side = side.name
        self.commands = {command for command in kind.commands if command.to & side}
        self.half = half
        self.ground = ground
        self.guard = guard


class Halves:
    """The halves of one node. They are made at once; :meth:`start` and :meth:`close` frame their work."""

    def __init__(self, kinds: Iterable[Kind], role: Role, ground: NodeGround) -> None:
        self._role = role
        self._log = task_logger(Tag.CLUSTER, ground.node.name)
        self._running = list(self._make(kinds, ground))

    async def start(self) -> None:
        """Start all of them; raises what a vital one raises."""
        for one in list(self._running):
            try:
                await one.half.start()
            except Exception as error:
                if one.kind.vital:
                    raise
                self._running.remove(one)
                one.guard.failed("its start, and is left out", error)
                await one.guard.wait("its end", one.half.close())

    def tasks(self) -> list[Task]:
        """What runs while the node does."""
        return [task for one in self._running for task in one.guard.tasks(one.half.tasks)]

    def features(self) -> frozenset[str]:
        """What an extended link with this node can carry beyond the base protocol."""
        return frozenset(one.kind.feature for one in self._running if one.kind.feature)

    def of(self, kind: str, half: type[T]) -> T:
        """The half of a kind that this node cannot be without."""
        return _found({one.kind.name: one.half for one in self._running}, kind, half)

    def talks(self, session: Session, status: Status, supervisor: Supervisor) -> Talks:
        """The talks of a connection that is about to open."""
        return Talks(self._running, session, status, supervisor)

    async def close(self) -> None:
        """Close all of them, the last first."""
        for one in reversed(self._running):
            await one.guard.wait("its end", one.half.close())

    def _make(self, kinds: Iterable[Kind], ground: NodeGround) -> Iterator[_Running]:
        for kind in kinds:
            factory = kind.half(self._role)
            if factory is None:
                continue
            guard = Guard(kind.name, ground.status, self._log)
            interval_s, options = options_of(kind, ground.settings)
            its_ground = replace(ground, interval_s=interval_s, options=options)
            try:
                half = factory(its_ground)
                half.talks  # noqa: B018  (a half that forgot its super().__init__ shows here, not at the first peer)
            except Exception as error:
                if kind.vital:
                    raise
                guard.failed("its making, and is left out", error)
            else:
                yield _Running(kind, self._role, half, its_ground, guard)


class Talks:
    """The talks of one connection."""

    def __init__(self, running: Iterable[_Running], session: Session, status: Status, supervisor: Supervisor) -> None:
        self._session = session
        self._peer = ""
        self._serves: dict[Command, Serve] = {}
        self._talks: dict[str, tuple[_Running, Talk]] = {}
        for one in running:
            link = LinkGround(node=one.ground, session=session, status=status, supervisor=supervisor)
            talk = one.guard.call("the making of a talk", partial(self._make, one, link))
            if talk is not None:
                self._talks[one.kind.name] = one, talk

    def serves(self) -> Mapping[Command, Serve]:
        """What answers the peer's commands."""
        return self._serves

    def tasks(self) -> list[Task]:
        """What runs once the peer has joined, as far as the peer can do its part."""
        extended = self._session.extended
        features = frozenset({""}) | (extended.features if extended is not None else frozenset())
        able = [(one, talk) for one, talk in self._talks.values() if one.kind.feature in features]
        resting = {one.kind.instead_of for one, _ in able}
        return [task for one, talk in able if one.kind.name not in resting for task in one.guard.tasks(talk.tasks)]

    def of(self, kind: str, talk: type[T]) -> T:
        """The talk of a kind that this node cannot be without."""
        return _found({name: found for name, (_, found) in self._talks.items()}, kind, talk)

    def free(self, kind: str) -> bool:
        """Whether nothing of a kind is under way with the peer."""
        found = self._talks.get(kind)
        return found is None or found[1].free

    def joined(self, peer: str) -> None:
        """The peer is known by this name now."""
        self._peer = peer
        for one, talk in self._talks.values():
            one.half.talks[peer] = talk
            one.guard.call("the joining of a peer", talk.joined)

    def lost(self, reason: str) -> None:
        """The connection is gone. Another of the same peer may stand already, and stays."""
        for one, talk in self._talks.values():
            if one.half.talks.get(self._peer) is talk:
                del one.half.talks[self._peer]
            one.guard.call("the loss of a peer", partial(talk.lost, reason))

    def _make(self, one: _Running, link: LinkGround) -> Talk:
        talk: Talk = one.half.talk(link)
        serves = dict(talk.serves())
        for command in serves:
            if command not in one.commands:
                raise ValueError(f"it serves {command}, which is none of its commands to a {one.side}")
        self._serves |= {command: one.guard.serve(command, serve) for command, serve in serves.items()}
        return talk


def _found(among: Mapping[str, object], kind: str, wanted: type[T]) -> T:
    found = among[kind]
    if not isinstance(found, wanted):
        raise TypeError(f"the kind {kind} brings a {type(found).__name__}, not a {wanted.__name__}")
    return found
