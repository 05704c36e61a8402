"""TLS from the first byte over real sockets: whom the authority vouches for, and what both ends say of others."""

from __future__ import annotations

import asyncio
import ssl
import time
import warnings
from pathlib import Path
from typing import Self

import pytest
from tests.support.authority import authority_at, certify
from tests.support.channels import Side
from tests.support.tls import DEADLINE_S, foreign_context

from outrider.errors import TransportError
from outrider.ports import Authorities, Identity, Tls
from outrider.protocol.commands import ECHO
from outrider.protocol.frame import pack_frame
from outrider.protocol.seal import KeyRing, NoSeal
from outrider.store.authority import Authority
from outrider.store.identity import NODE, TRUST, identity_of
from outrider.transport.answers import Reply
from outrider.transport.tls import context_for
from outrider.transport.turning import Opening, Turn
from outrider.world import real_ports

RING = KeyRing([b"0123456789abcdefghijklmnopqrstuv"])
REFUSES = "this node refuses the peer's TLS: "
FOREIGN = REFUSES + "its certificate is of no authority that this node trusts"
REFUSED = {
    "the peer closed the connection as TLS began",  # asyncio does not always bring the alert out
    "the peer refuses this node's TLS: the certificate has expired; `outrider join` gives this node a new one",
    "the peer refuses this node's TLS: the certificate is not one that it takes, or not valid yet: compare the clocks",
    "the peer refuses this node's TLS: the certificate is not the one that was named, or of no authority that it trusts",  # noqa: E501
    "the peer refuses this node's TLS: the certificate is for the other role",
}
NOW = time.time()
DAY_S = 86_400.0


class Door:
    """A master's side that listens on a real socket."""

    def __init__(self, home: Path, *, only: bool = True, strangers: bool = False) -> None:
        self.sides: list[Side] = []
        self._came = asyncio.Event()
        self._opening = Opening(Turn(terms(home, server=True, strangers=strangers), lambda: None), only)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for side in self.sides:
            side.channel.close("the end")
            await side.channel.closed()

    def _accept(self) -> asyncio.BaseProtocol:
        ports = real_ports()
        side = Side(ports, {ECHO: Reply}, RING, ports.monotonic() + DEADLINE_S)
        side.channel.opening = self._opening
        self.sides.append(side)
        self._came.set()
        return side.channel

    async def came(self) -> None:
        """Somebody has connected."""
        async with asyncio.timeout(30):
            await self._came.wait()

    async def reason(self) -> str:
        await self.came()
        async with asyncio.timeout(30):
            return await self.sides[-1].channel.closed()


def terms(home: Path, *, server: bool, name: str = "", strangers: bool = False) -> Tls:
    identity = Identity(identity_of(home, b"s" * 32).certificate, home / NODE)
    return Tls(server, identity, Authorities(home / TRUST, name, strangers), DEADLINE_S)


async def dial(port: int, own: Tls | None) -> Side:
    side = Side(real_ports(), {}, NoSeal() if own is None else RING, None)
    side.channel.opening = Opening(Turn(own or Tls(False, None, None, DEADLINE_S), lambda: None))
    await asyncio.get_running_loop().create_connection(lambda: side.channel, "127.0.0.1", port)
    return side


async def both_reasons(door: Door, own: Tls) -> tuple[str, str]:
    """Why the dialling and the listening end have ended."""
    side = await dial(door.port, own)
    try:
        await side.channel.turned()
        await side.channel.request(ECHO, b"x", 20)
    except TransportError:
        pass
    else:
        pytest.fail("a stranger was believed")
    return await side.channel.closed(), await door.reason()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = authority_at(tmp_path / "master", now=NOW)
    certify(made, tmp_path / "master", "master-node", "master", now=NOW)
    certify(made, tmp_path / "worker", "worker1", now=NOW)
    return made


@pytest.mark.parametrize("only", [True, False])
def test_nothing_is_said_outside_and_each_sees_who_the_other_is(
    tmp_path: Path, authority: Authority, only: bool
) -> None:
    async def story() -> None:
        async with Door(tmp_path / "master", only=only) as door:
            side = await dial(door.port, terms(tmp_path / "worker", server=False, name="master-node"))
            await side.channel.turned()
            sizes = (0, 1, 60_000)
            answers = await asyncio.gather(*(side.channel.request(ECHO, bytes(size), 20) for size in sizes))
            assert [len(answer) for answer in answers] == list(sizes)
            assert authority.trust().judge(side.channel.shown or b"", "master", NOW).name == "master-node"
            assert authority.trust().judge(door.sides[0].channel.shown or b"", "worker", NOW).name == "worker1"
            assert side.channel.opened
            assert door.sides[0].channel.opened
            side.channel.close("done")

    asyncio.run(story())


@pytest.mark.usefixtures("authority")
def test_who_speaks_in_clear_is_served_beside_unless_tls_is_all_there_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with Door(tmp_path / "master", only=False) as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            frame = pack_frame(0x16030100, b"echo", RING.seal(b"hi", 0))  # it begins as TLS does
            for byte in frame:
                writer.write(bytes([byte]))
                await writer.drain()
            assert (await reader.readexactly(20))[8:].startswith(b"ok ---------")
            writer.close()
            await writer.wait_closed()

    asyncio.run(story())


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize(
    "data",
    [pack_frame(1, b"hello", RING.seal(b"x", 0)), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello\x03...."],
)
def test_threat_08_plain_tcp_on_a_tls_port_is_refused(tmp_path: Path, data: bytes) -> None:
    async def story() -> None:
        async with Door(tmp_path / "master") as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(data)
            await asyncio.gather(reader.read(), return_exceptions=True)
            writer.close()
            assert await door.reason() == REFUSES + "it sends something else than TLS"

    asyncio.run(story())


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
def test_threat_08_an_older_tls_is_refused(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async def story() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context = foreign_context(Identity("", tmp_path / "worker" / NODE), most=version)
        async with Door(tmp_path / "master") as door:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", door.port, ssl=context)
            assert await door.reason() == REFUSES + "it offers no TLS 1.3"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("days", "reason"),
    [(-10, "its certificate has expired"), (+1, "its certificate is not valid yet")],
)
def test_threat_08_dates_are_checked_by_either_side(
    tmp_path: Path, authority: Authority, days: int, reason: str
) -> None:
    start = NOW + days * DAY_S

    async def story() -> None:
        certify(authority, tmp_path / "late", "worker2", now=start, days=5)
        async with Door(tmp_path / "master") as door:
            _, there = await both_reasons(door, terms(tmp_path / "late", server=False))
            assert there.startswith(REFUSES + reason)
        certify(authority, tmp_path / "other", "other-master", "master", now=start, days=5)
        async with Door(tmp_path / "other") as door:
            here, there = await both_reasons(door, terms(tmp_path / "worker", server=False))
            assert here.startswith(REFUSES + reason)
            assert there in REFUSED

    asyncio.run(story())


def test_threat_08_another_authority_is_refused_by_either_side(tmp_path: Path, authority: Authority) -> None:
    async def story() -> None:
        other = authority_at(tmp_path / "o", seed=2, now=NOW)
        certify(other, tmp_path / "worker9", "worker1", now=NOW)
        (tmp_path / "worker9" / TRUST).write_text(authority.trust().text)  # it believes in ours, and is not of it
        async with Door(tmp_path / "master") as door:
            _, there = await both_reasons(door, terms(tmp_path / "worker9", server=False))
            assert there.startswith(FOREIGN)
        certify(other, tmp_path / "master9", "master-node", "master", now=NOW)
        async with Door(tmp_path / "master9") as door:
            here, there = await both_reasons(door, terms(tmp_path / "worker", server=False))
            assert here.startswith(FOREIGN)
            assert there in REFUSED

    asyncio.run(story())


@pytest.mark.usefixtures("authority")
def test_threat_08_a_master_of_another_name_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with Door(tmp_path / "master") as door:
            here, _ = await both_reasons(door, terms(tmp_path / "worker", server=False, name="master2"))
            assert here == REFUSES + "its certificate names master-node, and it says that it is master2"

    asyncio.run(story())


def test_threat_14_a_revoked_certificate_is_refused_in_the_handshake(tmp_path: Path, authority: Authority) -> None:
    async def story() -> None:
        authority.revoke("worker1", NOW)
        (tmp_path / "master" / TRUST).write_text(authority.trust().text)
        async with Door(tmp_path / "master") as door:
            _, there = await both_reasons(door, terms(tmp_path / "worker", server=False))
            assert there == REFUSES + "its certificate has been revoked"

    asyncio.run(story())


def test_threat_14_a_worker_s_certificate_makes_no_master(tmp_path: Path, authority: Authority) -> None:
    async def story() -> None:
        certify(authority, tmp_path / "evil", "worker6", now=NOW)
        async with Door(tmp_path / "evil") as door:
            here, there = await both_reasons(door, terms(tmp_path / "worker", server=False))
            assert here == REFUSES + "its certificate is for the other role: a worker's does not make a master"
            assert there in REFUSED

    asyncio.run(story())


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize("strangers", [True, False])
def test_without_a_certificate_one_comes_in_only_where_strangers_may(tmp_path: Path, strangers: bool) -> None:
    async def story() -> None:
        async with Door(tmp_path / "master", strangers=strangers) as door:
            side = await dial(door.port, None)
            try:
                await side.channel.turned()
                answer = await side.channel.request(ECHO, b"x", 20)
            except TransportError:
                assert not strangers
                assert await door.reason() == REFUSES + "it shows no certificate"
            else:
                assert strangers
                assert answer == b"x"
                assert door.sides[0].channel.shown is None
                side.channel.close("done")

    asyncio.run(story())


@pytest.mark.usefixtures("authority")
def test_a_silent_connection_costs_no_tls_and_ends_at_the_deadline_from_accept(tmp_path: Path) -> None:
    async def story() -> None:
        async with Door(tmp_path / "master") as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(b"\x16\x03")
            await door.came()
            assert not door.sides[0].channel._turning.under_way
            door.sides[0].channel.connection._handshake_deadline = 0.0
            door.sides[0].channel._tick()
            (answer,) = await asyncio.gather(reader.read(), return_exceptions=True)
            assert answer == b"" or isinstance(answer, ConnectionError)
            writer.close()
            assert await door.reason() == "no hello within the handshake deadline (limits.handshake_deadline_s)"

    asyncio.run(story())


def test_threat_14_no_ticket_lets_a_revoked_certificate_in_later(tmp_path: Path) -> None:
    """Who comes with a ticket shows no certificate, and nobody looks at the list."""
    certify(authority_at(tmp_path / "ca"), tmp_path, "master-node", "master")
    assert context_for(terms(tmp_path, server=True)).num_tickets == 0
