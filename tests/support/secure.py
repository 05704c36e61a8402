"""TLS as the network in memory plays it: the same flights and the same refusals, and no cryptography.

The client greets, the server shows its certificate, the client shows its own; each looks whether it is the
one that it trusts. Whoever does not like what it sees says so and ends the stream.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Protocol

from tests.support.loop import EPOCH

from outrider.errors import TransportError
from outrider.ports import Authorities, Secured, Tls
from outrider.protocol.certificates import Trust

_FLIGHT = struct.Struct("!cI")
_GREETING, _CERTIFICATE, _ALERT = b"\x16", b"\x0b", b"\x15"
_VERSION = b"....\x03"
"""It stands where a real greeting has it."""


class Cable(Protocol):
    """What this needs of a stream."""

    def write_unseen(self, data: bytes) -> None: ...
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...
    def is_closing(self) -> bool: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...


class _Side(asyncio.Protocol):
    """Collects what comes."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False
        self.next: asyncio.BaseProtocol | None = None
        self.came = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.came.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.came.set()
        if self.next is not None:
            self.next.connection_lost(exc)

    async def flight(self, kind: bytes) -> bytes:
        """The next flight, which must be of ``kind``."""
        while not self.lost:
            if self.data[:1] not in {b"", _GREETING, _CERTIFICATE, _ALERT}:
                raise TransportError("this node refuses the peer's TLS: it sends something else than TLS")
            if len(self.data) >= _FLIGHT.size:
                found, length = _FLIGHT.unpack_from(self.data)
                if len(self.data) >= _FLIGHT.size + length:
                    body, self.data = self.data[_FLIGHT.size :][:length], self.data[_FLIGHT.size + length :]
                    if found == _ALERT:
                        raise TransportError(f"the peer refuses this node's TLS: {body.decode()}")
                    assert found == kind
                    return body
            self.came.clear()
            await self.came.wait()
        raise TransportError("the peer closed the connection as TLS began")


async def secure(stream: asyncio.Transport, protocol: asyncio.BaseProtocol, terms: Tls, said: bytes = b"") -> Secured:
    """The :meth:`outrider.ports.Network.secure` of a host in memory."""
    await asyncio.sleep(0)
    if stream.is_closing():
        raise TransportError("the peer closed the connection as TLS began")
    side = _Side()
    side.data = said
    stream.set_protocol(side)
    stream.resume_reading()
    try:
        async with asyncio.timeout(terms.timeout_s):
            shown = await _handshake(stream, side, terms)  # type: ignore[arg-type]
    except TimeoutError:
        stream.abort()
        raise TransportError("the peer did not finish the TLS handshake in time") from None
    except TransportError:
        stream.abort()
        raise
    side.next = protocol
    stream.set_protocol(protocol)
    return Secured(stream, side.data, ssl.PEM_cert_to_DER_cert(shown) if shown else None)


async def _handshake(stream: Cable, side: _Side, terms: Tls) -> str:
    """The certificate (PEM) that the peer has shown, or nothing."""

    def send(kind: bytes, body: bytes = b"") -> None:
        stream.write_unseen(_FLIGHT.pack(kind, len(body)) + body)

    async def trust() -> str:
        shown = (await side.flight(_CERTIFICATE)).decode()
        if refusal := _refusal(shown, terms):
            send(_ALERT, refusal[1].encode())
            raise TransportError(f"this node refuses the peer's TLS: {refusal[0]}")
        return shown

    own = b"" if terms.identity is None else terms.identity.certificate.encode()
    if terms.server:
        await side.flight(_GREETING)
        send(_CERTIFICATE, own)
        return await trust()
    send(_GREETING, _VERSION)
    shown = await trust()
    send(_CERTIFICATE, own)
    return shown


def _refusal(shown: str, terms: Tls) -> tuple[str, str] | None:
    """What is wrong with the certificate that is shown: in our words, and as an alert says it."""
    trusted = terms.trusted
    if trusted is None:
        return None
    if not isinstance(trusted, Authorities):
        alert = "the certificate is not the one that was named"
        return None if shown == trusted else ("its certificate is not the one that it named", alert)
    if not shown:
        return None if trusted.strangers else ("it shows no certificate", "a certificate is asked for")
    try:
        now = EPOCH + asyncio.get_running_loop().time()
        role = "worker" if terms.server else "master"
        held = Trust(trusted.file.read_text()).judge(shown.encode(), role, now)  # type: ignore[arg-type]
    except ValueError as error:
        return str(error), str(error).replace("its", "the", 1)
    if trusted.name and held.name != trusted.name:
        return (
            f"its certificate names {held.name}, and it says that it is {trusted.name}",
            "the certificate names another",
        )
    return None
