"""Requests at a worker: those of its master are answered here, those of programs beside it go to the master."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from outrider.errors import ConnectionLostError, Refusal
from outrider.exchange.pending import Pending
from outrider.exchange.session import Serve
from outrider.kinds.interface import MASTER, Half, LinkGround, NodeGround, Talk
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol.api import Request
from outrider.protocol.commands import Command
from outrider.protocol.faults import Failure
from outrider.relay.calls import failure_of
from outrider.relay.context import OF_LOCAL
from outrider.relay.desk import Desk, failure, refused
from outrider.relay.forward import API, SENDSYNC, Awaited, Owed
from outrider.relay.handlers import Handlers
from outrider.relay.queue import RequestQueue
from outrider.relay.quotas import of_many, passed_on_by, towards_one_node
from outrider.relay.routes import Answer
from outrider.relay.sendsync import told
from outrider.relay.targets import runs_here


class MasterLink(Talk):
    """The requests between this worker and its master, over one connection."""

    def __init__(self, link: LinkGround, requests: WorkerRequests) -> None:
        node, session = link.node, link.session
        self._requests = requests
        self.api = Awaited(session, API, ports=node.ports, status=link.status)
        self.sendsync = Awaited(session, SENDSYNC, ports=node.ports, status=link.status)
        self._owed = Owed(
            session,
            API,
            requests.answer,
            live=node.live,
            status=link.status,
            quota=of_many,
        )

    def serves(self) -> Mapping[Command, Serve]:
        """The commands of the master that belong here."""
        return {
            c.DAPI: partial(self._owed.begin, MASTER),
            c.DAPI_RESULT: self.api.result,
            c.DAPI_ERR: self.api.error,
            c.SENDSYNC_RESULT: self.sendsync.result,
            c.SENDSYNC_ERROR: self.sendsync.error,
        }

    def lost(self, reason: str) -> None:
        """The connection is gone: what waits for the master fails, what the master asked is given up."""
        self.api.lost(reason)
        self.sendsync.lost(reason)
        self._owed.lost()
        self._requests.left_master()


class WorkerRequests(Half[MasterLink]):
    """All requests at this worker; the :class:`~outrider.relay.routes.Routes` of programs beside it."""

    def __init__(self, ground: NodeGround, calls: Handlers) -> None:
        super().__init__()
        self._live = ground.live
        self._desk = Desk(
            ground.node,
            live=ground.live,
            ports=ground.ports,
            status=ground.status,
            agents=ground.agents,
            nodes=ground.nodes,
            calls=calls,
            heard=ground.events.requests,
            quotas_here=passed_on_by(MASTER),
            quotas_elsewhere=towards_one_node(),
        )
        self._daemons: RequestQueue[Answer] = RequestQueue(ground.live, ground.status)

    def talk(self, link: LinkGround) -> MasterLink:
        """The requests of one connection."""
        return MasterLink(link, self)

    def answer(self, caller: str, payload: bytes) -> Pending[Answer]:
        """The answer of this node to a request of the master, whatever its type: it has been forwarded already."""
        return self._desk.here(caller, payload)

    def left_master(self) -> None:
        """The master is gone: what it still waits for is given up."""
        self._desk.left(MASTER)

    async def close(self) -> None:
        """Give up everything."""
        await self._desk.close()
        await self._daemons.close()

    # Routes: programs beside this worker

    def ask(self, client: str, request: bytes) -> Pending[Answer]:
        """``dapi``: the master answers, or this node where the request says so; 3023 without a master."""
        try:
            read = self._desk.read(OF_LOCAL + client, request)
        except Refusal as refusal:
            return Pending.now(refused(refusal))
        if runs_here(read, at_master=False):
            return self._desk.run(OF_LOCAL + client, read, len(request), self._desk.call)
        link = self._connected()

        def work(_: Request, __: str, ___: float) -> Pending[Answer]:
            return link.api.ask(request).otherwise(_failed)

        return self._desk.run(OF_LOCAL + client, read, len(request), work, elsewhere=True)

    def forward(self, client: str, node: str, request: bytes) -> Pending[Answer]:
        """``dapi_fwd`` belongs to masters (2.4)."""
        del client, request
        raise Refusal(faults.UNKNOWN_NODE, f"{node}: only a master forwards; ask it there")

    def sendsync(self, client: str, request: bytes) -> Pending[Answer]:
        """``sendsync``: a daemon beside the master answers; 3023 without a master."""
        caller, work = OF_LOCAL + client, partial(self._connected().sendsync.ask, request)
        seconds = self._live.now.intervals.communication.timeout_dapi_request
        try:
            ticket = self._daemons.submit(caller, work, seconds=seconds, size=len(request))
        except Refusal as refusal:
            return Pending.now(told(failure_of(refusal)))
        return ticket.otherwise(lambda error: told(_failure_of(error)))

    def left(self, client: str) -> None:
        """The client is gone: what it still waits for is given up."""
        self._desk.left(OF_LOCAL + client)
        self._daemons.drop(OF_LOCAL + client)

    def _connected(self) -> MasterLink:
        link = self.talks.get(MASTER)
        if link is None:
            raise Refusal(faults.NO_MASTER)
        return link


def _failed(error: Exception) -> Answer:
    return failure(_failure_of(error))


def _failure_of(error: Exception) -> Failure:
    """Why the master did not answer."""
    lost = isinstance(error, ConnectionLostError)
    return Failure.of_cluster(faults.NO_MASTER, str(error)) if lost else failure_of(error)
