"""TLS inside a stream: version 1.3 alone, both ends show a certificate, and each knows which it takes.

That is exactly one, which was named before, sealed with the cluster key (:mod:`outrider.protocol.abilities`): then
nothing in it matters, neither name nor date. Or it is any that the cluster's authority vouches for: then OpenSSL
checks its signature, dates, purpose and the list of revoked ones, and its name is looked at here. A host's name is
never checked: a certificate names a node, wherever that runs.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from outrider.codes import Code
from outrider.errors import TransportError
from outrider.ports import Authorities, Secured, Threads, Tls
from outrider.protocol.certificates import FOREIGN, REVOKED, holder_of, read

_REFUSALS = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not the one that it named",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate",
    "UNSUPPORTED_PROTOCOL": "it offers no TLS 1.3",
    "TLSV1_ALERT_PROTOCOL_VERSION": "TLS 1.3 is asked for",
    "TLSV1_ALERT_UNKNOWN_CA": "the certificate is not the one that was named, or of no authority that it trusts",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the certificate is not the one that was named",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the certificate is not one that it takes, or not valid yet: compare the clocks",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the certificate has expired; `outrider join` gives this node a new one",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the certificate has been revoked",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the certificate is for the other role",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "a certificate is asked for",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "a record was changed on its way, or sent twice",
    "SSLV3_ALERT_BAD_RECORD_MAC": "a record was changed on its way, or sent twice",
}
_VERDICTS = {
    9: "its certificate is not valid yet: compare the clocks",
    10: "its certificate has expired",
    18: FOREIGN,
    19: FOREIGN,
    20: FOREIGN,
    21: FOREIGN,
    23: REVOKED,
    26: "its certificate is for the other role: a worker's does not make a master",
}
"""OpenSSL's X509_V_ERR numbers, where the authorities judge."""
REFUSES, REFUSED = "this node refuses the peer's TLS: ", "the peer refuses this node's TLS: "
_CLOSED = "the peer closed the connection as TLS began"
REFUSALS = (REFUSES, REFUSED, _CLOSED)
"""How the reason begins why a link has ended, where TLS did not come about: by whom, if that is known."""
_NO_TLS = "it sends something else than TLS"
_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE"}


class TlsStreams:
    """The part of :class:`outrider.ports.Network` that secures a stream; ``threads`` read certificates."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def secure(
        self, stream: asyncio.Transport, protocol: asyncio.BaseProtocol, terms: Tls, said: bytes = b""
    ) -> Secured:
        """Make TLS inside ``stream``."""
        loop = asyncio.get_running_loop()
        early = _Early()
        try:
            context = await self._threads.run(context_for, terms)
            if stream.is_closing():
                raise ConnectionResetError
            if said:  # one turn later TLS has its place, and has read nothing by itself
                loop.call_soon(loop.call_soon, _feed, stream, said)
            secured = await loop.start_tls(
                stream, early, context, server_side=terms.server, ssl_handshake_timeout=terms.timeout_s
            )
        except (OSError, ValueError) as error:
            stream.abort()
            raise TransportError(_explain(error, terms)).coded(Code.TLS) from error
        if secured is None or early.lost:
            raise TransportError(_CLOSED).coded(Code.TLS)
        shown = _shown(secured)
        if refusal := _objection(shown, terms):
            secured.abort()
            raise TransportError(f"{REFUSES}{refusal}").coded(Code.PEER_NOT_TRUSTED)
        early.next = protocol
        secured.set_protocol(protocol)
        return Secured(secured, b"".join(early.said), shown)


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
    context.check_hostname = False  # see above
    context.verify_mode = ssl.CERT_REQUIRED
    if isinstance(terms.trusted, Authorities):
        context.load_verify_locations(cafile=terms.trusted.file)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if terms.trusted.strangers:
            context.verify_mode = ssl.CERT_OPTIONAL
    elif terms.trusted is not None:
        context.load_verify_locations(cadata=_der(terms.trusted))
    else:
        context.verify_mode = ssl.CERT_NONE  # the caller looks at what is shown
    if terms.identity is not None:
        context.load_cert_chain(terms.identity.file)
    if terms.server:
        context.num_tickets = 0  # every connection proves itself anew
    return context


def broken(error: Exception) -> str:
    """Why a stream broke, in one line; a refusal inside TLS reaches the refused side only after it believed in it."""
    return _refusal(error) if isinstance(error, ssl.SSLError) else f"the stream broke: {error}"


def _feed(stream: asyncio.Transport, said: bytes) -> None:
    """Give TLS, which owns the stream by now, what the peer has said before that."""
    owner = cast("asyncio.BufferedProtocol", stream.get_protocol())  # another loop's is of no class of asyncio's
    view = memoryview(said)
    while view and not stream.is_closing():
        room = memoryview(owner.get_buffer(len(view)))
        size = min(len(view), len(room))
        room[:size] = view[:size]
        owner.buffer_updated(size)
        view = view[size:]


def _objection(shown: bytes | None, terms: Tls) -> str | None:
    """What OpenSSL does not look at: that it is the very certificate that was named, or names whom it must."""
    if terms.trusted is None:
        return None
    if not isinstance(terms.trusted, Authorities):
        return None if shown == _der(terms.trusted) else _REFUSALS["CERTIFICATE_VERIFY_FAILED"]
    if shown is None:
        return None if terms.trusted.strangers else _REFUSALS["PEER_DID_NOT_RETURN_A_CERTIFICATE"]
    try:
        name = holder_of(read(shown), "").name
    except ValueError as error:
        return str(error)
    if terms.trusted.name and name != terms.trusted.name:
        return f"its certificate names {name}, and it says that it is {terms.trusted.name}"
    return None


def _explain(error: Exception, terms: Tls) -> str:
    """Why TLS was not made: which side refused what."""
    if isinstance(error, ConnectionAbortedError):
        return "the peer did not finish the TLS handshake in time"
    if isinstance(error, ConnectionError | ssl.SSLEOFError):
        return _CLOSED
    if isinstance(error, ssl.SSLCertVerificationError) and isinstance(terms.trusted, Authorities):
        return f"{REFUSES}{_VERDICTS.get(error.verify_code, error.verify_message)}"
    return _refusal(error) if isinstance(error, ssl.SSLError) else f"TLS cannot be made: {error}"


def _refusal(error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    if "ALERT" in reason:
        return f"{REFUSED}{_REFUSALS.get(reason, reason)}"
    return f"{REFUSES}{_NO_TLS if reason in _NOT_TLS else _REFUSALS.get(reason, reason)}"


def _der(certificate: str) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(certificate)
    except ValueError as error:
        raise ValueError("the peer's certificate cannot be read") from error


def _shown(stream: asyncio.Transport) -> bytes | None:
    """The certificate that the peer has shown."""
    made: ssl.SSLObject = stream.get_extra_info("ssl_object")
    return made.getpeercert(binary_form=True)
