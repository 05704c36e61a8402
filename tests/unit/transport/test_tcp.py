"""Real sockets on loopback: both families, and what is said when it does not work."""

from __future__ import annotations

import asyncio
import socket

import pytest

from outrider.errors import TransportError
from outrider.transport.tcp import TcpNetwork


class Answering(asyncio.Protocol):
    """Sends back what comes; keeps what came."""

    def __init__(self, *, answers: bool) -> None:
        self.came = asyncio.Event()
        self.data = b""
        self._answers = answers
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.came.set()
        if self._answers and self.transport is not None:
            self.transport.write(data.upper())


async def _speak(host: str, port: int) -> tuple[bytes, socket.socket]:
    protocol = Answering(answers=False)
    assert await TcpNetwork().dial(host, port, lambda: protocol) is protocol
    transport = protocol.transport
    assert transport is not None
    transport.write(b"hello")
    async with asyncio.timeout(30):
        await protocol.came.wait()
    sock: socket.socket = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    transport.close()
    return protocol.data, sock


@pytest.mark.parametrize(
    ("bound", "dialled"),
    [("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("::", ["::1", "127.0.0.1"]), ("0.0.0.0", ["127.0.0.1"])],
)
def test_streams_over_both_families(bound: str, dialled: list[str]) -> None:
    async def story() -> None:
        inside: list[Answering] = []

        def accept() -> Answering:
            inside.append(Answering(answers=True))
            return inside[-1]

        listener = await TcpNetwork().listen(bound, 0, accept)
        ((host, port),) = listener.addresses
        assert host == bound
        for address in dialled:
            data, _ = await _speak(address, port)
            assert data == b"HELLO"
            let_in = inside[-1].transport
            assert let_in is not None
            assert let_in.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        listener.close()

    asyncio.run(story())


def test_a_closed_door_lets_nobody_in_but_keeps_who_is_in() -> None:
    async def story() -> None:
        inside: list[Answering] = []

        def accept() -> Answering:
            inside.append(Answering(answers=True))
            return inside[-1]

        listener = await TcpNetwork().listen("127.0.0.1", 0, accept)
        ((host, port),) = listener.addresses
        guest = Answering(answers=False)
        await TcpNetwork().dial(host, port, lambda: guest)
        assert guest.transport is not None
        guest.transport.write(b"a")
        async with asyncio.timeout(30):
            await guest.came.wait()
            listener.close()
            with pytest.raises(TransportError):
                await TcpNetwork().dial(host, port, lambda: Answering(answers=False))
            guest.came.clear()
            guest.transport.write(b"b")
            await guest.came.wait()
        assert guest.data == b"AB"
        guest.transport.close()
        assert inside[0].transport is not None
        inside[0].transport.close()

    asyncio.run(story())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_dial_that_is_refused_is_a_transport_error_that_says_so(host: str) -> None:
    async def story() -> None:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.bind((host, 0))
            with pytest.raises(TransportError, match=r"^Connection refused$"):
                await TcpNetwork().dial(host, sock.getsockname()[1], lambda: Answering(answers=False))

    asyncio.run(story())


def test_a_name_that_no_one_knows_is_a_transport_error() -> None:
    async def story() -> None:
        with pytest.raises(TransportError):
            await TcpNetwork().dial("no-such-host.invalid", 1, lambda: Answering(answers=False))

    asyncio.run(story())


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_a_port_in_use_is_an_error_that_names_it(host: str) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(TransportError, match=rf"^cannot listen on .*:{port}: Address already in use$"):
                await TcpNetwork().listen(host, port, lambda: Answering(answers=True))

    asyncio.run(story())
