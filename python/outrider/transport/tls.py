"""TLS inside a stream that stands: version 1.3 alone, both ends show a certificate, and each trusts exactly one.

Which certificate that is was said before, sealed with the cluster key (:mod:`outrider.protocol.abilities`). A
host's name is not checked, nor a date: the one certificate *is* who the peer must be, and it names nobody.
"""

from __future__ import annotations

import asyncio
import ssl

from outrider.errors import TransportError
from outrider.ports import Secured, Tls

_REFUSALS = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not the one that it named",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate",
    "UNSUPPORTED_PROTOCOL": "it offers no TLS 1.3",
    "TLSV1_ALERT_PROTOCOL_VERSION": "TLS 1.3 is asked for",
    "TLSV1_ALERT_UNKNOWN_CA": "the certificate is not the one that was named",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the certificate is not the one that was named",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the certificate is not the one that was named",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "a certificate is asked for",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "a record was changed on its way, or sent twice",
    "SSLV3_ALERT_BAD_RECORD_MAC": "a record was changed on its way, or sent twice",
}
_NO_TLS = "it sends something else than TLS"
_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE"}


class TlsStreams:
    """The part of :class:`outrider.ports.Network` that secures a stream."""

    async def secure(self, stream: asyncio.Transport, protocol: asyncio.BaseProtocol, terms: Tls) -> Secured:
        """Make TLS inside ``stream``."""
        loop = asyncio.get_running_loop()
        early = _Early()
        try:
            # Reads the key's file, so not here.
            context = await loop.run_in_executor(None, context_for, terms)
            if stream.is_closing():
                raise ConnectionResetError
            secured = await loop.start_tls(
                stream, early, context, server_side=terms.server, ssl_handshake_timeout=terms.timeout_s
            )
        except (OSError, ValueError) as error:
            stream.abort()
            raise TransportError(_explain(error)) from error
        if secured is None or early.lost:
            raise TransportError("the peer closed the connection as TLS began")
        if _shown(secured) != _der(terms.trusted):
            secured.abort()
            raise TransportError(f"this node refuses the peer's TLS: {_REFUSALS['CERTIFICATE_VERIFY_FAILED']}")
        early.next = protocol
        secured.set_protocol(protocol)
        return Secured(secured, b"".join(early.said))


class _Early(asyncio.Protocol):
    """Takes what the peer says in the breath in which TLS is made, before its owner can be told."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.lost = False
        self.next: asyncio.BaseProtocol | None = None

    def data_received(self, data: bytes) -> None:
        """Keep it: one read at most, for then the owner has its place."""
        self.said.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner, also where that was on its way before the owner came."""
        self.lost = True
        if self.next is not None:
            self.next.connection_lost(exc)


def context_for(terms: Tls) -> ssl.SSLContext:
    """What one stream's TLS is made with; :class:`ValueError` or :class:`OSError` if a certificate cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if terms.server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the certificate names nobody, see above
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=_der(terms.trusted))
    context.load_cert_chain(terms.identity.file)
    if terms.server:
        context.num_tickets = 0  # every connection proves itself anew
    return context


def broken(error: Exception) -> str:
    """Why a stream broke, in one line; a refusal inside TLS reaches the refused side only after it believed in it."""
    return _refusal(error) if isinstance(error, ssl.SSLError) else f"the stream broke: {error}"


def _explain(error: Exception) -> str:
    """Why TLS was not made: which side refused what."""
    if isinstance(error, ConnectionAbortedError):
        return "the peer did not finish the TLS handshake in time"
    if isinstance(error, ConnectionError | ssl.SSLEOFError):
        return "the peer closed the connection as TLS began"
    return _refusal(error) if isinstance(error, ssl.SSLError) else f"TLS cannot be made: {error}"


def _refusal(error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    if "ALERT" in reason:
        return f"the peer refuses this node's TLS: {_REFUSALS.get(reason, reason)}"
    return f"this node refuses the peer's TLS: {_NO_TLS if reason in _NOT_TLS else _REFUSALS.get(reason, reason)}"


def _der(certificate: str) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(certificate)
    except ValueError as error:
        raise ValueError("the peer's certificate cannot be read") from error


def _shown(stream: asyncio.Transport) -> bytes | None:
    """The certificate that the peer has shown."""
    made: ssl.SSLObject = stream.get_extra_info("ssl_object")
    return made.getpeercert(binary_form=True)
