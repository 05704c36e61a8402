"""Requests at a master: from its workers and from programs beside it, to this node, to others, and to daemons."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from outrider.errors import Refusal
from outrider.exchange.pending import Pending
from outrider.exchange.session import Serve
from outrider.kinds.interface import Half, LinkGround, NodeGround, Talk
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol.api import Request
from outrider.protocol.commands import Command
from outrider.protocol.faults import Failure
from outrider.relay.asked import Asked, merged
from outrider.relay.context import OF_LOCAL
from outrider.relay.desk import Desk, failed, failure, refused
from outrider.relay.forward import API, FORWARDED, SENDSYNC, Awaited, Owed
from outrider.relay.handlers import Handlers
from outrider.relay.routes import Answer
from outrider.relay.sendsync import Sendsync
from outrider.relay.targets import Targets, TooManyNodes, runs_here, targets_of
from outrider.transport.answers import Reply

_OF_NODES: Final = 0.95
"""Of the time for a distributed request, what the nodes have; the rest is for merging and the way back."""
_FORWARDED: Final = b"Forwarded response"
"""What the original says to a result that is for itself."""
_LARGE: Final = 256 * 1024
"""Bytes of answers that are merged in a thread."""


class WorkerRequests(Talk):
    """The requests of one worker, and those to it."""

    def __init__(self, link: LinkGround, requests: MasterRequests) -> None:
        session = link.session
        self._session = session
        self._requests = requests
        self.awaited = Awaited(session, API, ports=link.node.ports, status=link.status)
        owed = partial(Owed, session, live=link.node.live, status=link.status)
        self._api = owed(API, requests.answer)
        self._sendsync = owed(SENDSYNC, requests.daemons.answer)

    def serves(self) -> Mapping[Command, Serve]:
        """The commands of a worker that belong here."""
        return {
            c.DAPI: partial(self._begin, self._api),
            c.DAPI_RESULT: self.awaited.result,
            c.DAPI_ERR: self.awaited.error,
            c.SENDSYNC: partial(self._begin, self._sendsync),
        }

    def lost(self, reason: str) -> None:
        """The worker is gone: what it owes fails, what it is owed is given up."""
        self.awaited.lost(f"{self._session.worker} is gone: {reason}")
        self._api.lost()
        self._sendsync.lost()
        self._requests.worker_left(self._session.worker)

    def _begin(self, owed: Owed, payload: bytes) -> Reply:
        return owed.begin(self._session.worker, payload)


class MasterRequests(Half[WorkerRequests]):
    """All requests at this master; the :class:`~outrider.relay.routes.Routes` of programs beside it."""

    def __init__(self, ground: NodeGround, calls: Handlers) -> None:
        super().__init__()
        live, ports, status = ground.live, ground.ports, ground.status
        self._node = ground.node.name
        self._ports = ports
        self._nodes = ground.nodes
        self._status = status
        self._live = live
        self._desk = Desk(
            ground.node,
            live=live,
            ports=ports,
            status=status,
            agents=ground.agents,
            nodes=ground.nodes,
            calls=calls,
            heard=ground.events.requests,
        )
        self.daemons = Sendsync(live, ports, status)

    def talk(self, link: LinkGround) -> WorkerRequests:
        """The requests of one connection."""
        return WorkerRequests(link, self)

    def answer(self, caller: str, payload: bytes) -> Pending[Answer]:
        """The answer to ``dapi``, of this node or of those that the request is for."""
        try:
            request = self._desk.read(caller, payload)
        except Refusal as refusal:
            return Pending.now(refused(refusal))
        if runs_here(request, at_master=True):
            return self._desk.run(caller, request, len(payload), self._desk.call)
        return self._desk.run(caller, request, len(payload), self._distribute, elsewhere=True)

    def worker_left(self, name: str) -> None:
        """What this worker still waits for is given up, unless it has come back on another connection already."""
        if name not in self.talks:
            self._left(name)

    async def close(self) -> None:
        """Give up everything."""
        await self._desk.close()
        await self.daemons.close()

    # distributed requests

    async def _distribute(self, request: Request, caller: str, seconds: float) -> Answer:
        until = self._ports.monotonic() + seconds * _OF_NODES
        targets = await self._targets(request)
        asked = Asked(self._live.now.limits.result_bytes)
        try:
            for node, its in targets.requests.items():
                asked.add(node, self._ask(node, its, caller))
            answers = await asked.answers(until - self._ports.monotonic())
        finally:
            asked.give_up()
        if asked.too_large:
            self._status.limit_hit("limits.result_bytes")
        if targets.one:
            (answer,) = answers.values()
            return answer
        if asked.held > _LARGE:
            return Answer(await self._ports.threads.run(merged, answers))
        return Answer(merged(answers))

    async def _targets(self, request: Request) -> Targets:
        connected = [node.name for node in self._nodes()]
        most = self._live.now.limits.connections + 1  # and this node itself
        try:
            return await targets_of(request, connected, self._desk.agents, most)
        except TooManyNodes:
            self._status.limit_hit("limits.connections")
            raise

    def _ask(self, node: str, request: Request, caller: str) -> Pending[Answer]:
        """One node's answer, be it a failure."""
        if node == self._node:
            return Pending.of(self._desk.call(request, caller, 0)).otherwise(failed)
        return self._of_worker(node, request.encode(), _FORWARDED).otherwise(failed)

    def _of_worker(self, node: str, payload: bytes, thanks: bytes) -> Pending[Answer]:
        worker = self.talks.get(node)
        if worker is None:
            return Pending.now(failure(Failure.of_cluster(faults.UNKNOWN_NODE, node)))
        return worker.awaited.ask(payload, thanks)

    # Routes: programs beside this master

    def ask(self, client: str, request: bytes) -> Pending[Answer]:
        """``dapi``."""
        return self.answer(OF_LOCAL + client, request)

    def forward(self, client: str, node: str, request: bytes) -> Pending[Answer]:
        """``dapi_fwd``: this node answers, whatever the type of the request; 3022 if it is not connected."""
        caller = OF_LOCAL + client
        if node == self._node:
            return self._desk.here(caller, request)
        if node not in self.talks:
            raise Refusal(faults.UNKNOWN_NODE, node)
        try:
            read = self._desk.read(caller, request)
        except Refusal as refusal:
            return Pending.now(refused(refusal))

        def work(_: Request, __: str, ___: float) -> Pending[Answer]:
            return self._of_worker(node, request, FORWARDED)

        return self._desk.run(caller, read, len(request), work, elsewhere=True)

    def sendsync(self, client: str, request: bytes) -> Pending[Answer]:
        """``sendsync``; the original's masters do not know it (2.4), ours ask the daemon."""
        return self.daemons.answer(OF_LOCAL + client, request)

    def left(self, client: str) -> None:
        """The client is gone: what it still waits for is given up."""
        self._left(OF_LOCAL + client)

    def _left(self, caller: str) -> None:
        self._desk.left(caller)
        self.daemons.left(caller)
