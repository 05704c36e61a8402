"""How a node that has nothing but a token gets its certificate from a master.

It knows one thing: the fingerprint of the authority that must answer, which the token names; of both, while the one
is replaced by the other. So it dials, makes TLS with whoever is there, and says nothing of the token's secret before
that end has shown a master's certificate of this very authority. The node's key is made here and never travels.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from outrider.codes import Code
from outrider.errors import PeerError, RefusedByPeer, TransportError
from outrider.ports import Ports, Tls
from outrider.protocol.certificates import Trust, holder_of, make_request, read
from outrider.protocol.commands import CA_JOIN, CA_SHOW, Command
from outrider.protocol.connection import Connection, LinkLimits
from outrider.protocol.joining import Granted, Join, Token, Trusted, decode, encode
from outrider.protocol.seal import NoSeal
from outrider.transport.answers import Reply
from outrider.transport.channel import Channel
from outrider.transport.turning import Opening, Turn

_TIMEOUT_S = 20.0
T = TypeVar("T", Granted, Trusted)


class Joined(NamedTuple):
    """What a node has then: its key, its certificate (PEM), and whom it trusts."""

    key: Ed25519PrivateKey
    certificate: str
    trust: Trust


async def join(token: Token, host: str, port: int, ports: Ports) -> Joined:
    """Get the certificate that ``token`` promises.

    :class:`TransportError` if no master is reached, :class:`PeerError` if it is not the one or refuses.
    """
    channel = Channel(Connection(NoSeal(), ports.random, serves={}, limits=LinkLimits), _Joining(), ports)
    channel.opening = Opening(Turn(Tls(False, None, None, _TIMEOUT_S), lambda: None))
    await ports.network.dial(host, port, lambda: channel)
    try:
        await channel.turned()
        trust = Trust((await _ask(channel, CA_SHOW, b"", Trusted)).trust)
        _check_master(trust, token, channel.shown or b"", ports.wall())
        key = Ed25519PrivateKey.from_private_bytes(ports.random.randbytes(32))
        wish = Join(token.id, token.secret, make_request(key, token.name))
        granted = await _ask(channel, CA_JOIN, encode(wish), Granted)
        trust = Trust(granted.trust)
        _check_granted(trust, token, key, granted.certificate)
    except ValueError as error:
        raise PeerError(f"this master is not taken: {error}").coded(Code.PEER_NOT_TRUSTED) from error
    finally:
        channel.close("joined, or not")
    return Joined(key, granted.certificate, trust)


class _Joining:
    """A connection on which nobody asks this node anything."""

    def connected(self, channel: Channel) -> None:
        pass

    def process_request(self, command: Command, payload: bytes) -> Reply | None:
        del command, payload
        return None

    def lost(self, reason: str) -> None:
        pass


async def _ask(channel: Channel, command: Command, payload: bytes, answer: type[T]) -> T:
    try:
        return decode(await channel.request(command, payload, _TIMEOUT_S), answer)
    except RefusedByPeer as refusal:
        if (refusal.detail or "").startswith("unknown command"):
            raise PeerError("this node holds no authority: name the master where `outrider ca init` was run").coded(
                Code.JOIN_REFUSED
            ) from None
        raise PeerError(f"the master refuses: {refusal.detail or refusal}").coded(Code.JOIN_REFUSED) from refusal
    except TransportError as error:
        raise TransportError(f"the master has not answered: {error}").coded(Code.NO_ANSWER) from error


def _check_master(trust: Trust, token: Token, shown: bytes, now: float) -> None:
    """:class:`ValueError` unless whoever is there is a master of an authority that the token names.

    ``trust`` is his own word, and may name any authority beside his: what counts is who has signed his certificate.
    """
    if not set(token.authorities) & set(trust.fingerprints):
        raise ValueError(f"its authority is {trust.fingerprint[:16]}, the token is of {token.authorities[0][:16]}")
    if trust.judge(shown, "master", now).authority not in token.authorities:
        raise ValueError("its certificate is of another authority than the token")


def _check_granted(trust: Trust, token: Token, key: Ed25519PrivateKey, certificate: str) -> None:
    """:class:`ValueError` unless this is the certificate that was asked for."""
    held = holder_of(read(certificate.encode()), "")
    if held.name != token.name or not trust.knows(certificate.encode()):
        raise ValueError(f"it grants a certificate for {held.name}, and {token.name} was to join")
    if read(certificate.encode()).public_key() != key.public_key():
        raise ValueError("it grants a certificate for another key")
