"""One program on the local socket, as its node sees it: each command of 2.4 and what answers it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from outrider.errors import ConnectionLostError, OutriderError, Refusal, RefusedByPeer
from outrider.exchange.pending import Pending
from outrider.exchange.sending import Result, Sender
from outrider.exchange.tasks import Tasks
from outrider.logs import Tag, task_logger
from outrider.printable import counted
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol.commands import Command, To
from outrider.protocol.connection import Connection, LinkLimits
from outrider.protocol.faults import Failure, Fault, encode_fault
from outrider.protocol.seal import NoSeal
from outrider.relay.config import config_of
from outrider.relay.desk import answer_of
from outrider.relay.held import Held
from outrider.relay.queue import TooManyRequests
from outrider.relay.routes import Answer, Routes
from outrider.transport.answers import Reply
from outrider.transport.channel import Channel

if TYPE_CHECKING:  # the one who makes us
    from outrider.relay.local import LocalServer

HASHED: Final = frozenset({"etc/decoders/", "etc/rules/", "etc/lists/"})
_ANSWER: Final = Command(b"ok", To.LOCAL_CLIENT, "a daemon's answer, as a request")
_NO_ANSWER: Final = Command(b"err", To.LOCAL_CLIENT, "why there is none, as a request")

Served = Reply | Awaitable[Reply] | None
Deliver = Callable[[Pending[Answer], Answer], None]


class LocalClientHandler:
    """One connection of a local client. Its name is chance, and new with every connection."""

    def __init__(self, server: LocalServer) -> None:
        services = server.services
        live, ports = services.live, services.ports
        self.name = ""
        self.last_keep_alive = ports.monotonic()
        self._server = server
        self._services = services
        self._log = task_logger(Tag.LOCAL_SERVER, services.node.name)
        self._at_work: dict[asyncio.Task[None], None] = {}
        self._asked: dict[Pending[Answer], Deliver] = {}
        self._answering = 0
        self._held = Held(lambda: live.now.limits.strings_total, services.status.limit_hit)
        self._commands = self._serves()
        connection = Connection(NoSeal(), ports.random, serves=c.by_name(self._commands), limits=self._bounds)
        self.channel = Channel(connection, self, ports, services.status.limit_hit)
        self._sender = Sender(self.channel, Tasks(ports.random, lambda: live.now.limits.tasks), ports, live)

    # what the channel calls

    def connected(self, channel: Channel) -> None:
        """A program came; there is no ``hello``, it may ask at once."""
        channel.connection.known()
        if refusal := self._server.admit(self):
            self._log.warning("a local client was turned away: %s", refusal)
            channel.close(refusal)

    def process_request(self, command: Command, payload: bytes) -> Served:
        """Serve a request of the program."""
        return self._commands[command](payload)

    def lost(self, reason: str) -> None:
        """The program is gone: nothing is worth an answer any more."""
        self._log.debug("local client %s: %s", self.name or "without a name", reason)
        if limit := self.channel.limit:
            self._services.status.limit_hit(limit)
        self._server.leave(self)
        for answer in list(self._asked):
            answer.give_up()
        for task in self._at_work:
            task.cancel()

    # the commands

    def _serves(self) -> dict[Command, Callable[[bytes], Served]]:
        serves: dict[Command, Callable[[bytes], Served]] = {
            c.ECHO: Reply,
            c.KEEP_ALIVE: self._keep_alive,
            c.HELLO: lambda payload: Reply(b"Client " + payload + b" added"),
            c.GET_CONFIG: lambda _: Reply(json.dumps(config_of(self._services.settings, self._services.node)).encode()),
            c.GET_HASH: self._hash,
            c.GET_NODES: partial(self._control, c.GET_NODES),
            c.GET_HEALTH: partial(self._control, c.GET_HEALTH),
            c.SEND_FILE: self._send_file,
        }
        if self._services.routes is not None:
            serves |= self._requests(self._services.routes)
        return serves

    def _requests(self, routes: Routes) -> dict[Command, Callable[[bytes], Served]]:
        serves: dict[Command, Callable[[bytes], Served]] = {
            c.DAPI: partial(self._ask, routes),
            c.SENDSYNC: partial(self._sendsync, routes),
            c.SENDASYNC: partial(self._sendasync, routes),
        }
        if self._services.node.type == "master":
            serves[c.DAPI_FORWARD] = partial(self._forward, routes)
        return serves

    def _keep_alive(self, payload: bytes) -> Reply:
        self.last_keep_alive = self._services.ports.monotonic()
        return Reply(payload, c.OK_KEEP_ALIVE)

    def _hash(self, _: bytes) -> Served:
        self._check_room()
        return self._soon(self._hashes())

    async def _hashes(self) -> Reply:
        manifest = await self._server.hashes()
        return Reply(json.dumps({one.path: one.hash for one in manifest.entries() if one.rule in HASHED}).encode())

    def _control(self, command: Command, payload: bytes) -> Served:
        """``get_nodes``, ``get_health``: a master answers, a worker asks its master and passes on what it says."""
        self._check_room()
        answer = self._services.control(command, payload)
        if self._services.node.type == "master":
            return self._soon(_as_reply(answer))
        self._later(self._pass_on(answer))
        return Reply(b"Sent request to master node")

    def _send_file(self, payload: bytes) -> Reply:
        self._check_room()
        self._later(self._pass_on(self._sent(self._server.files.begin(payload)), c.SEND_FILE_RESULT))
        return Reply(b"Forwarding file to master node")  # whatever the node: the original's words

    async def _sent(self, sending: Awaitable[int]) -> bytes:
        return str(await sending).encode()

    async def _pass_on(self, answer: Awaitable[bytes], command: Command = c.CONTROL_RESULT) -> None:
        try:
            body = await answer
        except (RefusedByPeer, Refusal) as error:
            body = encode_fault(Fault(error.code, error.detail), internal=error.code == faults.INTERNAL)
        except ConnectionLostError as error:
            at_master = self._services.node.type == "master"
            body = encode_fault(Fault(faults.UNKNOWN_NODE if at_master else faults.NO_MASTER, str(error)))
        except OutriderError as error:
            body = encode_fault(Fault(faults.REQUEST_TIMEOUT, str(error)))
        self._tell(command, body)

    def _ask(self, routes: Routes, payload: bytes) -> Reply:
        self._check_room()
        deliver = self._under_way(routes.ask(self.name, payload), self._deliver)
        return Reply(b"Added request to API requests queue", then=deliver)

    def _forward(self, routes: Routes, payload: bytes) -> Reply:
        self._check_room()
        node, space, request = payload.partition(b" ")
        if not space:
            raise Refusal(faults.INTERNAL, "dapi_fwd needs a node's name, a space and a request")
        deliver = self._under_way(routes.forward(self.name, node.decode(), request), self._deliver)
        return Reply(b"Request forwarded to worker node", then=deliver)

    def _sendsync(self, routes: Routes, payload: bytes) -> None:
        """No answer but the final one: whoever asks reads a single frame."""
        try:
            self._ask_daemon(routes, payload)()
        except Refusal as refusal:
            self._tell(_NO_ANSWER, str(Failure.of_cluster(refusal.code, refusal.detail)).encode())

    def _sendasync(self, routes: Routes, payload: bytes) -> Reply:
        return Reply(b"Added request to sendsync requests queue", then=self._ask_daemon(routes, payload))

    def _ask_daemon(self, routes: Routes, payload: bytes) -> Callable[[], None]:
        self._check_room()
        return self._under_way(routes.sendsync(self.name, payload), self._deliver_daemon)

    @property
    def waits_for_a_daemon(self) -> bool:
        """Whether it is owed the one frame that programs in C read; meanwhile they send nothing at all (2.4)."""
        return self._deliver_daemon in self._asked.values()

    def _under_way(self, asked: Pending[Answer], deliver: Deliver) -> Callable[[], None]:
        """Count a request until its answer has been taken; what is returned has it delivered as soon as it is there."""
        self._asked[asked] = deliver
        return lambda: asked.then(lambda outcome: deliver(asked, answer_of(outcome)))

    def _deliver(self, asked: Pending[Answer], answer: Answer) -> None:
        self._held.send(answer, partial(self._send, asked))

    def _send(self, asked: Pending[Answer], answer: Answer, taken: Callable[[], None]) -> None:
        ended = partial(self._delivered, asked, taken)
        if answer.ok:
            self._sender.result(Result(answer.body, c.DAPI_RESULT, tell=True), ended)
        else:
            self._tell(c.DAPI_ERR, answer.body)
            ended(b"")

    def _delivered(self, asked: Pending[Answer], taken: Callable[[], None], heard: bytes | Exception) -> None:
        if isinstance(heard, Exception):
            self._log.debug("local client %s did not get its answer: %s", self.name, heard)
        self._asked.pop(asked, None)
        taken()

    def _deliver_daemon(self, asked: Pending[Answer], answer: Answer) -> None:
        self._tell(_ANSWER if answer.ok else _NO_ANSWER, answer.body)
        self._asked.pop(asked, None)

    # between the two

    @property
    def _timeout_s(self) -> float:
        return self._services.settings.intervals.communication.timeout_cluster_request

    @property
    def _most(self) -> int:
        limits = self._services.settings.limits
        return limits.requests_running_per_peer + limits.requests_waiting_per_peer

    def _bounds(self) -> LinkLimits:
        limits = self._services.settings.limits
        size = limits.local_frame_bytes
        return LinkLimits(
            size,
            size,
            size,
            limits.open_messages,
            frame_setting="limits.local_frame_bytes",
            answers_under_way=limits.answers_under_way,
            unread_answers_bytes=limits.unread_answers_bytes,
        )

    def _tell(self, command: Command, payload: bytes) -> None:
        """Ask the program to take something; whether it says that it did is nothing to us."""
        self.channel.tell(command, payload, self._timeout_s)

    def _check_room(self) -> None:
        if len(self._asked) + len(self._at_work) + self._answering >= self._most:
            self._services.status.limit_hit("limits.requests_waiting_per_peer")
            text = f"{counted(self._most, 'request')} of yours under way: the limit is limits.requests_waiting_per_peer"
            raise TooManyRequests(faults.INTERNAL, f"{text}; try again later")

    async def _soon(self, work: Awaitable[Reply]) -> Reply:
        """An answer that takes a while; it counts as work of this client's."""
        self._answering += 1
        try:
            return await work
        finally:
            self._answering -= 1

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._at_work[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._at_work.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            level = self._log.debug if isinstance(error, OutriderError) else self._log.error
            level("local client %s did not get its answer: %s", self.name, error or type(error).__name__)


async def _as_reply(answer: Awaitable[bytes]) -> Reply:
    return Reply(await answer)
