"""Asks the node that runs on this machine, over its local socket (specification 2.4).

:class:`AsyncLocalClient` keeps one connection. :class:`LocalClient` is for programs without an event loop: each
of its questions has a connection of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
from msgspec import Struct, field

from outrider.codes import Code
from outrider.errors import ConnectionLostError, RefusedByPeer, RequestTimeoutError, TransportError
from outrider.model import NodeInfo
from outrider.ports import Ports
from outrider.protocol import commands as c
from outrider.protocol.api import Request
from outrider.protocol.commands import Command
from outrider.protocol.connection import Connection, LinkLimits
from outrider.protocol.faults import GENERIC, INTERNAL, Failure, refused
from outrider.protocol.results import FAILURES, Unhandled, decode_result, value_of
from outrider.protocol.seal import NoSeal
from outrider.protocol.transfer import Strings
from outrider.relay.deadlines import Deadlines
from outrider.settings import Limits, Settings
from outrider.transport.answers import Reply
from outrider.transport.channel import Channel
from outrider.world import real_ports

ANSWER_S = 200.0
"""An answer may take this long, as with the original's clients."""
_KEEP_ALIVE_S = 30.0
_DEAF_S = 10.0
"""A node that lives answers a keep-alive far sooner, whatever else it works on."""
_LONGEST_S = 1e9
"""As much as a request can say."""
_SHOWN = 300
_GIB = 1024**3
_LARGE = 1024**2
"""Bytes that every node takes."""
_LIMITS = LinkLimits(frame_bytes=_GIB, message_bytes=_GIB, frame_setting="the client")
_STRINGS = Limits(open_strings=1, string_bytes=4 * _GIB, strings_total=4 * _GIB)
"""The node is trusted: it is the one who answers for its limits."""

T = TypeVar("T")


class Health(Struct, frozen=True):
    """How the nodes are, by name: ``info``, and of workers ``status`` (2.5)."""

    connected: int = field(name="n_connected_nodes")
    nodes: dict[str, dict[str, Any]]


class AsyncLocalClient:
    """A connection to the node at ``socket``; use it with ``async with``.

    What is asked at the same time over one connection is answered in turn: for calls side by side open several.
    A question that is given up, or gets no answer in time, closes the connection.
    Every question raises :class:`RefusedByPeer` with the node's own reason, :class:`RequestTimeoutError`
    after ``timeout_s``, or sooner if the node does not even say that it lives, and :class:`ConnectionLostError`
    if the node goes; connecting raises :class:`TransportError` if no node runs.
    """

    def __init__(self, socket: Path | str, *, timeout_s: float = ANSWER_S, ports: Ports | None = None) -> None:
        self._socket = Path(socket)
        self._timeout_s = timeout_s
        self._ports = ports or real_ports()
        self._serves = self._commands()
        self._strings = Strings(self._ports.random, lambda: _STRINGS)
        self._turn = asyncio.Lock()
        self._awaited: asyncio.Future[bytes] | None = None
        self._late: Deadlines[asyncio.Future[bytes]] = Deadlines(
            lambda _: self._settle(RequestTimeoutError("the answer is late"))
        )
        self._living: asyncio.Task[None] | None = None
        self._deaf = ""  # what is so if the node does not say that it lives
        self._channel = self._new_channel()

    async def __aenter__(self) -> Self:
        """Connect."""
        try:
            await self._ports.network.dial_local(self._socket, lambda: self._channel)
        except TransportError as error:
            raise TransportError(
                f"no node answers at {self._socket}: {error}; start one with outrider worker or outrider master"
            ).coded(Code.NO_NODE) from error
        self._living = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close; what still waits fails."""
        if self._living is not None:
            self._living.cancel()
            await asyncio.gather(self._living, return_exceptions=True)
        self._channel.close("the client is done")
        await self._channel.closed()

    async def nodes(self, **arguments: Any) -> list[NodeInfo]:
        """Who is in the cluster, the master first; ``arguments`` are those of ``get_nodes`` (2.5)."""
        answer = _read(await self._control(c.GET_NODES, arguments), _Nodes)
        return [NodeInfo(name=row.name, type=row.type, version=row.version, address=row.ip) for row in answer.items]

    async def health(self, *names: str) -> Health:
        """How these nodes are, or all."""
        return _read(await self._control(c.GET_HEALTH, names or None), Health)

    async def config(self) -> dict[str, Any]:
        """How the node is configured; no key is among it."""
        return _read(await self._ask(c.GET_CONFIG), dict[str, Any])

    async def hash(self) -> dict[str, str]:
        """BLAKE2b-512 of the node's decoders, rules and lists, by path."""
        return _read(await self._ask(c.GET_HASH), dict[str, str])

    async def send_file(self, file: Path | str, node: str = "") -> int:
        """Have a file of the node's ``local.send_folder`` sent, by a worker to its master, by a master to ``node``.

        ``file`` is an absolute path. Returns the bytes that were sent; they lie at the same path below the other home.
        """
        payload = f"{file} {node or 'master'}".encode()
        return _read(await self._answer(c.SEND_FILE, payload), int)

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Call ``name`` at the master, or at this node where it is one; the answer, as data or a typed result."""
        return await self.request(self._request(name, arguments))

    async def call_nodes(self, name: str, nodes: Sequence[str], arguments: Mapping[str, Any]) -> Any:
        """Call ``name`` at these nodes, or at all if none is named; several answers come merged.

        Where each answers plain data that is a dictionary by node, with a
        :class:`~outrider.protocol.faults.Failure` of each node that failed: its ``code`` is a number (7.2), its
        ``detail`` says why, as text.
        """
        request = self._request(name, arguments, request_type="distributed_master", nodes=tuple(nodes))
        merged = await self.request(request)
        return {node: _by_node(one) for node, one in merged.items()} if isinstance(merged, dict) else merged

    async def request(self, request: Request) -> Any:
        """Send a request as it is; a failure that comes as its result is raised as :class:`RefusedByPeer`.

        :class:`ValueError` or :class:`TypeError` if its arguments are nothing that JSON knows.
        """
        answer = await self._answer(c.DAPI, request.encode())
        try:
            result = decode_result(answer)
        except ValueError as error:
            raise _not_understood(error) from error
        if isinstance(result, Failure):
            raise RefusedByPeer(result.code, _told(result))
        if isinstance(result, Unhandled):
            raise RefusedByPeer(GENERIC, f"{result.name}: {', '.join(map(str, result.args))}")
        if answer.startswith(FAILURES):
            raise RefusedByPeer(GENERIC, f"an error that is not understood: {answer[:_SHOWN].decode(errors='replace')}")
        return result

    def _request(self, name: str, arguments: Mapping[str, Any], **fields: Any) -> Request:
        """No node works longer on it than we wait, or little: it sees to 10 s at least (5.9)."""
        return Request(call=name, f_kwargs=dict(arguments), api_timeout=min(self._timeout_s, _LONGEST_S), **fields)

    # the channel's owner

    def connected(self, channel: Channel) -> None:
        """There is no ``hello`` here."""
        channel.connection.known()

    def process_request(self, command: Command, payload: bytes) -> Reply:
        """Take what the node sends."""
        return self._serves[command](payload)

    def lost(self, reason: str) -> None:
        """The node is gone."""
        self._settle(ConnectionLostError(reason))

    # between the two

    def _new_channel(self) -> Channel:
        connection = Connection(NoSeal(), self._ports.random, serves=c.by_name(self._serves), limits=lambda: _LIMITS)
        return Channel(connection, self, self._ports)

    def _commands(self) -> dict[Command, Callable[[bytes], Reply]]:
        return {
            c.NEW_STR: lambda payload: Reply(self._strings.begin(payload)),
            c.STR_UPD: self._extend,
            c.DAPI_RESULT: self._result,
            c.CONTROL_RESULT: self._control_result,
            c.SEND_FILE_RESULT: self._control_result,
            c.DAPI_ERR: self._error,
        }

    def _extend(self, payload: bytes) -> Reply:
        name, _, data = payload.partition(b" ")
        self._strings.extend(name, data)
        return Reply(b"String updated")

    def _result(self, payload: bytes) -> Reply:
        text = self._strings.take(payload)
        self._settle(RefusedByPeer(GENERIC, "the result came incomplete") if text is None else text)
        return Reply(b"Distributed api response received")

    def _control_result(self, payload: bytes) -> Reply:
        self._settle(refused(payload) if payload.startswith(b'{"__wazuh_exception__"') else payload)
        return Reply(b"Response received")

    def _error(self, payload: bytes) -> Reply:
        self._settle(RefusedByPeer(GENERIC, payload.decode(errors="replace")))
        return Reply(b"Response received")

    def _settle(self, outcome: bytes | Exception) -> None:
        if self._awaited is None or self._awaited.done():
            return
        if isinstance(outcome, bytes):
            self._awaited.set_result(outcome)
        else:
            self._awaited.set_exception(outcome)

    async def _ask(self, command: Command, payload: bytes = b"") -> bytes:
        try:
            return await self._channel.request(command, payload, self._timeout_s)
        except (ConnectionLostError, RequestTimeoutError) as error:
            raise RequestTimeoutError(self._deaf) if self._deaf else error from None

    async def _control(self, command: Command, arguments: Any) -> bytes:
        """A master's answer is an answer, a worker's comes as a request of its own."""
        return await self._answer(command, json.dumps(arguments).encode(), at_once=b"{")

    async def _answer(self, command: Command, payload: bytes, at_once: bytes | None = None) -> bytes:
        """Ask and wait for what comes later; a reply that begins with ``at_once`` is all there is."""
        async with self._turn:  # nothing that comes says to which question it belongs
            awaited: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._awaited = awaited
            self._late.set(awaited, self._timeout_s)
            try:
                self._channel.ask(command, payload, self._timeout_s, partial(self._replied, at_once))
                return await awaited
            except RequestTimeoutError:
                self._channel.close("an answer did not come in time")  # or it is taken for the next question's
                late = f"the node did not answer within {self._timeout_s:g} s"
                raise RequestTimeoutError(self._deaf or late) from None
            except ConnectionLostError as error:
                raise _lost(error, len(payload)) from None
            except asyncio.CancelledError:
                self._channel.close("a question was given up")  # likewise
                raise
            finally:
                self._awaited = None
                self._late.clear(awaited)

    def _replied(self, at_once: bytes | None, reply: bytes | Exception) -> None:
        if isinstance(reply, Exception) or (at_once is not None and reply.startswith(at_once)):
            self._settle(reply)

    async def _keep_alive(self) -> None:
        try:
            while True:
                await self._channel.request(c.KEEP_ALIVE, b"keepalive", _DEAF_S)
                await self._ports.sleep(_KEEP_ALIVE_S)
        except RequestTimeoutError as error:
            self._deaf = (
                f"the node at {self._socket} runs and has heard nothing for {_DEAF_S:g} s: its process is stopped "
                "(kill -CONT lets it go on), or hangs (then its log says more, and it must be started anew)"
            )
            self._settle(error)
            self._channel.close(self._deaf)
        except (TransportError, RefusedByPeer):
            pass


class LocalClient:
    """Asks the node at ``socket`` from a program without an event loop; its errors are the asynchronous one's."""

    def __init__(self, socket: Path | str, *, timeout_s: float = ANSWER_S) -> None:
        self.socket = Path(socket)
        self._timeout_s = timeout_s

    @classmethod
    def of(cls, settings: Settings, *, timeout_s: float = ANSWER_S) -> Self:
        """The client of the node that has these settings."""
        return cls(socket_of(settings), timeout_s=timeout_s)

    def nodes(self, **arguments: Any) -> list[NodeInfo]:
        """See :meth:`AsyncLocalClient.nodes`."""
        return self._run(lambda client: client.nodes(**arguments))

    def health(self, *names: str) -> Health:
        """See :meth:`AsyncLocalClient.health`."""
        return self._run(lambda client: client.health(*names))

    def config(self) -> dict[str, Any]:
        """See :meth:`AsyncLocalClient.config`."""
        return self._run(lambda client: client.config())

    def hash(self) -> dict[str, str]:
        """See :meth:`AsyncLocalClient.hash`."""
        return self._run(lambda client: client.hash())

    def send_file(self, file: Path | str, node: str = "") -> int:
        """See :meth:`AsyncLocalClient.send_file`."""
        return self._run(lambda client: client.send_file(file, node))

    def call(self, name: str, /, **arguments: Any) -> Any:
        """See :meth:`AsyncLocalClient.call`."""
        return self._run(lambda client: client.call(name, **arguments))

    def call_nodes(self, name: str, nodes: Sequence[str], arguments: Mapping[str, Any]) -> Any:
        """See :meth:`AsyncLocalClient.call_nodes`."""
        return self._run(lambda client: client.call_nodes(name, nodes, arguments))

    def request(self, request: Request) -> Any:
        """See :meth:`AsyncLocalClient.request`."""
        return self._run(lambda client: client.request(request))

    def _run(self, question: Callable[[AsyncLocalClient], Coroutine[Any, Any, T]]) -> T:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise TypeError("LocalClient waits, and would hold up this event loop: use AsyncLocalClient here")

        async def ask() -> T:
            async with AsyncLocalClient(self.socket, timeout_s=self._timeout_s) as client:
                return await question(client)

        return asyncio.run(ask())


def _lost(error: ConnectionLostError, size: int) -> ConnectionLostError:
    hint = f"; a question of {size} bytes may be more than its limits.local_frame_bytes" if size > _LARGE else ""
    return ConnectionLostError(f"the node closed the connection: {error}{hint}")


def _by_node(answer: Any) -> Any:
    value = value_of(answer)
    return value if isinstance(value, Failure | Unhandled) else answer


def _told(failure: Failure) -> str:
    """What a failure says, and of which nodes it is where several were asked."""
    own = failure.detail if failure.code == INTERNAL else None  # of which the number says nothing
    said = own or str(failure)
    return f"{said}, at {', '.join(failure.dapi_errors)}" if failure.dapi_errors else said


class _NodeRow(Struct, frozen=True):
    name: str
    type: str
    version: str
    ip: str


class _Nodes(Struct, frozen=True):
    items: list[_NodeRow]
    total: int = field(name="totalItems")


def _read(answer: bytes, kind: type[T]) -> T:
    """An answer as what it ought to be; other nodes than ours have a say in it."""
    try:
        return msgspec.json.decode(answer, type=kind)
    except (ValueError, RecursionError) as error:
        raise _not_understood(error) from error


def _not_understood(error: Exception) -> RefusedByPeer:
    return RefusedByPeer(GENERIC, f"the answer is not understood: {error}")


def socket_of(settings: Settings) -> Path:
    """Where the node of these settings listens."""
    return settings.node.home.resolve() / settings.local.socket
