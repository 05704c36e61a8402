"""The parsers of what a peer, a program of the machine, a wazuh-db or a visitor sends.

Each takes any bytes. What it may say of them is written here: an error of the named kinds. Anything else breaks it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fuzz.visiting import Line, quiet_loop
from uvicorn.config import Config
from uvicorn.server import ServerState

from outrider.client import _read as read_answer
from outrider.errors import OutriderError, ProtocolError, Refusal, StoreError
from outrider.http.guard import Guard
from outrider.http.listening import Visitor
from outrider.model import NodeInfo
from outrider.overview import Overview
from outrider.ports import Instant
from outrider.protocol import agents, joining, rotation
from outrider.protocol import generations as steps
from outrider.protocol.abilities import Abilities
from outrider.protocol.api import decode_request
from outrider.protocol.bodies import Hello, SharedPath, TaskFault, TransferPath, split_once
from outrider.protocol.certificates import Signer, Trust, make_authority, pem, requested_key
from outrider.protocol.commands import ECHO, TABLE
from outrider.protocol.connection import Connection, LinkLimits, State
from outrider.protocol.events import Closed
from outrider.protocol.faults import decode_fault
from outrider.protocol.frame import Frame, FrameReader
from outrider.protocol.groups_message import read_groups
from outrider.protocol.results import decode_result
from outrider.protocol.seal import KeyRing, NoSeal
from outrider.protocol.transfer import Strings
from outrider.relay.control import health_answer, health_names, nodes_answer
from outrider.relay.sendsync import _read as read_message_to_a_daemon
from outrider.settings import Limits, Settings
from outrider.store.wazuh_db.frames import AnswerReader
from outrider.store.wazuh_db.replies import failure, read_reply
from outrider.worker.groups_writing import UnwrittenError, _read, read_message

Parser = Callable[[bytes], Any]

KEY = b"a" * 32
NOW = Instant(0, 1_700_000_000)
_RING = KeyRing([KEY])
_LIMITS = LinkLimits(unknown_frame_bytes=2000, frame_bytes=5000, message_bytes=5000, open_messages=3)
_NODES = [
    NodeInfo(name="head", type="master", version="4.9.2", address="10.0.0.1"),
    NodeInfo(name="worker1", type="worker", version="4.9.2", address="10.0.0.2"),
]
_SIGNING = Ed25519PrivateKey.from_private_bytes(KEY)
AUTHORITY = Signer(make_authority(_SIGNING, "wazuh", 1, NOW.wall, 100), _SIGNING)
TRUST = Trust(pem(AUTHORITY.certificate) + AUTHORITY.revoke([], 1, NOW.wall))


def split(data: bytes) -> tuple[int, bytes]:
    """The first byte as a choice, and the rest."""
    return (data[0], data[1:]) if data else (0, b"")


def refusing(*errors: type[Exception]) -> Callable[[Parser], Parser]:
    """A parser that may raise these."""

    def named(read: Parser) -> Parser:
        def reading(data: bytes) -> None:
            with contextlib.suppress(*errors):
                read(data)

        reading.__name__ = read.__name__
        return reading

    return named


def _any_of(*parsers: Parser) -> Parser:
    """The first byte says which."""

    def reading(data: bytes) -> None:
        which, rest = split(data)
        parsers[which % len(parsers)](rest)

    return reading


def stream(data: bytes) -> None:
    """Cut anywhere, a stream is the same frames, or goes wrong with the same words."""
    at, rest = split(data)

    def read(*pieces: bytes) -> tuple[list[Frame], str]:
        reader, found = FrameReader(4096), list[Frame]()
        try:
            for piece in pieces:
                found += reader.feed(piece)
        except ProtocolError as error:
            return found, str(error)
        return found, ""

    whole, cut = read(rest), read(rest[:at], rest[at:])
    assert whole == cut


def connection(data: bytes) -> None:
    """A link goes on, or is closed once; the same however the bytes came."""
    how, stream = split(data)

    def ended(*pieces: bytes) -> Connection:
        link = Connection(_RING if how & 1 else NoSeal(), Random(1), serves=TABLE, limits=lambda: _LIMITS)
        if how & 2:
            link.known()
            link.request(ECHO, b"", NOW, 20)
        events = [event for piece in pieces for event in link.receive(piece, NOW)]
        assert sum(isinstance(event, Closed) for event in events) == (link.state is State.CLOSED)
        return link

    whole, cut = ended(stream), ended(stream[: how >> 2], stream[how >> 2 :])
    assert whole.state is cut.state
    if not how & 1:  # what is sealed is never the same twice
        assert whole.bytes_to_send() == cut.bytes_to_send()


def seal(data: bytes) -> None:
    """A token opens to what was sealed, or not at all."""
    with contextlib.suppress(ProtocolError):
        _RING.open(data, NOW.wall)


def paths(data: bytes) -> None:
    """No bytes name a file elsewhere."""
    with contextlib.suppress(Refusal):
        assert "/" not in TransferPath.decode(data, "worker1").name
    with contextlib.suppress(Refusal):
        found = SharedPath.decode(data, "tmp/")
        assert not {"", ".", ".."} & {*found.folders, found.name}


def strings(data: bytes) -> None:
    """Lines of a talk about strings: what is held stays within the limits."""
    limits = Limits(string_bytes=2000, strings_total=3000, open_strings=3)
    known = Strings(Random(1), lambda: limits)
    names = [b""]
    for line in data.split(b"\n"):
        kind, rest = split(line)
        with contextlib.suppress(ValueError, Refusal):
            match kind % 4:
                case 0:
                    names.append(known.begin(rest))
                case 1:
                    known.extend(names[-1], rest)
                case 2:
                    known.drop_unused(rest)
                case _:
                    known.take(names.pop() if len(names) > 1 else rest)
        assert known.held <= 3000
        assert len(known) <= 3


def groups(data: bytes) -> None:
    """A whole message, and each of its chunks."""
    with contextlib.suppress(UnwrittenError):
        message = read_message(data, b"1")
        for number in range(len(message)):
            _read(message, number)


def control(data: bytes) -> None:
    """Who is in the cluster, and how they are, are of those that there are."""
    nodes_answer(data, _NODES)
    health_answer(health_names(data), _NODES[0], 0, [])


def certificates(data: bytes) -> None:
    """A certificate, and a request for one."""
    which, rest = split(data)
    if which % 2:
        TRUST.judge(rest, "worker", NOW.wall)
        TRUST.holder(rest)
    else:
        requested_key(rest.decode())


def wazuh_db(data: bytes) -> None:
    """A stream of answers, each of which means something, or is an error that says what it was."""
    for answer in AnswerReader().feed(data):
        reply = read_reply(bytes(answer))
        assert str(failure(reply))


def http(data: bytes) -> None:
    """A visitor's connection is answered or closed; only what was asked of us by a name of ours gets through."""
    with quiet_loop() as loop:
        line, heard = Line(), list[str]()

        async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001  (the interface of ASGI)
            heard.append(scope["method"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        visitor = Visitor(
            Config(Guard(app, ["node"]), lifespan="off", log_config=None, proxy_headers=False),
            ServerState(),
            Settings.from_mapping({}).http,
            hit=lambda _: None,
        )
        visitor.config.loaded_app = visitor.app = visitor.config.app
        visitor.connection_made(line)
        if data:  # no transport ever brings nothing
            visitor.data_received(data)
        loop.run_soon()
        visitor.connection_lost(None)
        loop.run_soon()
        assert set(heard) <= {"GET", "HEAD"}


def overview(data: bytes) -> None:
    """What a master tells of the cluster."""
    msgspec.convert(decode_result(data), Overview)


def answers(data: bytes) -> None:
    """What a node answers a program."""
    which, rest = split(data)
    read_answer(rest, [dict[str, Any], dict[str, str], int][which % 3])


_BODIES = _any_of(steps.decode_standing, steps.decode_answer, steps.decode_read, steps.decode_done, steps.decode_part)
_JOINING = _any_of(
    *(
        lambda data, kind=kind: joining.decode(data, kind)
        for kind in (joining.Join, joining.Renewal, joining.Granted, joining.Trusted)
    )
)
_REFUSED = refusing(ValueError)

TARGETS: dict[str, Parser] = {
    "abilities": _REFUSED(Abilities.decode),
    "agent_info": agents.decode_sound_agents,
    "agents_result": _REFUSED(agents.decode_result),
    "answers": refusing(OutriderError)(answers),
    "certificates": _REFUSED(certificates),
    "connection": connection,
    "control": refusing(ValueError, Refusal)(control),
    "fault": decode_fault,
    "groups": groups,
    "groups_chunk": refusing(ValueError, RecursionError)(read_groups),
    "hello": refusing(ValueError, Refusal)(_any_of(Hello.decode, TaskFault.decode, split_once)),
    "http": http,
    "joining": _REFUSED(_JOINING),
    "overview": _REFUSED(overview),
    "paths": paths,
    "request": _REFUSED(decode_request),
    "result": _REFUSED(decode_result),
    "rotation": _REFUSED(_any_of(rotation.decode_standing, rotation.decode_order)),
    "seal": seal,
    "sendsync": refusing(Refusal)(read_message_to_a_daemon),
    "steps": _REFUSED(_BODIES),
    "stream": stream,
    "strings": strings,
    "token": _REFUSED(lambda data: joining.Token.decode(data.decode())),
    "wazuh_db": refusing(StoreError)(wazuh_db),
}

logging.getLogger("outrider").addHandler(logging.NullHandler())
