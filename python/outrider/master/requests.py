"""Requests at a master: from its workers and from programs beside it, to this node, to others, and to daemons."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Final

from outrider.errors import OutriderError, Refusal
from outrider.exchange.session import Serve
from outrider.kinds.interface import Half, LinkGround, NodeGround, Talk
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol.api import Request
from outrider.protocol.commands import Command
from outrider.protocol.faults import Failure
from outrider.protocol.merging import merge
from outrider.protocol.results import decode_result, encode_result
from outrider.relay.calls import failure_of
from outrider.relay.context import OF_LOCAL
from outrider.relay.desk import Desk, failed, failure, refused
from outrider.relay.forward import API, FORWARDED, SENDSYNC, Awaited, Owed
from outrider.relay.handlers import Handlers
from outrider.relay.routes import Answer
from outrider.relay.sendsync import Sendsync
from outrider.relay.targets import runs_here, targets_of
from outrider.transport.channel import Reply

_OF_NODES: Final = 0.95
"""Of the time for a distributed request, what the nodes have; the rest is for merging and the way back."""
_FORWARDED: Final = b"Forwarded response"
"""What the original says to a result that is for itself."""
_LARGE: Final = 256 * 1024
"""Bytes of answers that are merged in a thread."""


class WorkerRequests(Talk):
    """The requests of one worker, and those to it."""

    def __init__(self, link: LinkGround, requests: MasterRequests) -> None:
        session, settings = link.session, link.node.settings
        self._session = session
        self._requests = requests
        self.awaited = Awaited(session, API, ports=link.node.ports, status=link.status)
        owed = partial(Owed, session, settings=settings, status=link.status, supervisor=link.supervisor)
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
        self._requests.worker_left(self._session.worker)

    def _begin(self, owed: Owed, payload: bytes) -> Reply:
        return owed.begin(self._session.worker, payload)


class MasterRequests(Half[WorkerRequests]):
    """All requests at this master; the :class:`~outrider.relay.routes.Routes` of programs beside it."""

    def __init__(self, ground: NodeGround, calls: Handlers) -> None:
        super().__init__()
        settings, ports, status = ground.settings, ground.ports, ground.status
        self._node = ground.node.name
        self._ports = ports
        self._nodes = ground.nodes
        self._status = status
        self._most_bytes = settings.limits.result_bytes
        self._desk = Desk(
            ground.node,
            settings=settings,
            ports=ports,
            status=status,
            agents=ground.agents,
            nodes=ground.nodes,
            calls=calls,
        )
        self.daemons = Sendsync(settings, ports, status)

    def talk(self, link: LinkGround) -> WorkerRequests:
        """The requests of one connection."""
        return WorkerRequests(link, self)

    async def answer(self, caller: str, payload: bytes) -> Answer:
        """The answer to ``dapi``, of this node or of those that the request is for."""
        try:
            request = self._desk.read(caller, payload)
        except Refusal as refusal:
            return refused(refusal)
        if runs_here(request, at_master=True):
            return await self._desk.run(caller, request, len(payload), self._desk.call)
        return await self._desk.run(caller, request, len(payload), self._distribute, elsewhere=True)

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
        connected = [node.name for node in self._nodes()]
        targets = await targets_of(request, connected, self._desk.agents)
        held = 0

        async def ask(node: str, its: Request) -> Answer:
            nonlocal held
            answer = await self._ask(node, its, caller, until)
            held += len(answer.body)
            return answer if held <= self._most_bytes else self._too_large()

        asked = [ask(node, its) for node, its in targets.requests.items()]
        answers = dict(zip(targets.requests, await asyncio.gather(*asked), strict=True))
        if targets.one:
            (answer,) = answers.values()
            return answer
        if held > _LARGE:
            return Answer(await self._ports.threads.run(_merged, answers))
        return Answer(_merged(answers))

    def _too_large(self) -> Answer:
        self._status.limit_hit("limits.result_bytes")
        text = f"all nodes' answers have more than {self._most_bytes} bytes (limits.result_bytes); ask for less"
        return failure(Failure.internal(text))

    async def _ask(self, node: str, request: Request, caller: str, until: float) -> Answer:
        """One node's answer, be it a failure."""
        try:
            async with asyncio.timeout(until - self._ports.monotonic()):
                if node == self._node:
                    return await self._desk.call(request, caller, 0)
                return await self._of_worker(node, request.encode(), _FORWARDED)
        except TimeoutError:
            return failure(Failure.of_cluster(faults.API_TIMEOUT, node))
        except OutriderError as error:
            return failed(error)

    async def _of_worker(self, node: str, payload: bytes, thanks: bytes) -> Answer:
        worker = self.talks.get(node)
        if worker is None:
            return failure(Failure.of_cluster(faults.UNKNOWN_NODE, node))
        return await worker.awaited.ask(payload, thanks)

    # Routes: programs beside this master

    def ask(self, client: str, request: bytes) -> Awaitable[Answer]:
        """``dapi``."""
        return self.answer(OF_LOCAL + client, request)

    def forward(self, client: str, node: str, request: bytes) -> Awaitable[Answer]:
        """``dapi_fwd``: this node answers, whatever the type of the request; 3022 if it is not connected."""
        if node == self._node:
            return self._desk.here(OF_LOCAL + client, request)
        if node not in self.talks:
            raise Refusal(faults.UNKNOWN_NODE, node)
        return self._forward(OF_LOCAL + client, node, request)

    async def _forward(self, caller: str, node: str, payload: bytes) -> Answer:
        try:
            request = self._desk.read(caller, payload)
        except Refusal as refusal:
            return refused(refusal)

        async def work(_: Request, __: str, ___: float) -> Answer:
            return await self._of_worker(node, payload, FORWARDED)

        return await self._desk.run(caller, request, len(payload), work, elsewhere=True)

    def sendsync(self, client: str, request: bytes) -> Awaitable[Answer]:
        """``sendsync``; the original's masters do not know it (2.4), ours ask the daemon."""
        return self.daemons.answer(OF_LOCAL + client, request)

    def left(self, client: str) -> None:
        """The client is gone: what it still waits for is given up."""
        self._left(OF_LOCAL + client)

    def _left(self, caller: str) -> None:
        self._desk.left(caller)
        self.daemons.left(caller)


def _merged(answers: Mapping[str, Answer]) -> bytes:
    return encode_result(merge({node: _read(answer) for node, answer in answers.items()}))


def _read(answer: Answer) -> object:
    """An answer as a value; what is none is a failure of its node."""
    if not answer.ok:
        return Failure.of_cluster(faults.GENERIC, answer.body.decode(errors="replace"))
    try:
        return decode_result(answer.body)
    except ValueError as error:
        return failure_of(Refusal(faults.GENERIC, f"its answer is not JSON: {error}"))
