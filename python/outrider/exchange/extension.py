"""What a node brings to an extended link, whichever its role: its credentials, its abilities, its memory of peers.

The roles do the talking (``worker/extending.py``, ``master/extending.py``): a probe after hello, its answer,
``start_tls``, and from then on everything inside TLS. ``Session.extended`` tells everybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from outrider.errors import StoreError
from outrider.exchange.credentials import Credentials
from outrider.logs import TaskLogger
from outrider.ports import Authorities, Ports, Tls
from outrider.protocol.abilities import PROTOCOL, TLS, Abilities, Agreement, agree
from outrider.settings import Live
from outrider.store.peers import Peer, Peers
from outrider.transport.turning import Opening, Turn


class Extended(NamedTuple):
    """The peer of an extended link: who it is, what runs there, what both ends can do, and the certificate it showed.

    ``vouched``: the cluster's authority says that it is who it is; else whoever has the cluster key does.
    """

    node: str
    version: str
    protocol: int
    features: frozenset[str]
    shown: bytes = b""
    vouched: bool = False

    @property
    def voucher(self) -> str:
        """Who says so, for a line of the log."""
        return "the cluster's authority" if self.vouched else "the cluster key"

    def same(self, other: Extended) -> bool:
        """Whether the peers of two links are the same node, beyond doubt."""
        return self.node == other.node and (self.shown == other.shown or (self.vouched and other.vouched))


class Extension:
    """See the module. One for each node; a node without one speaks the base protocol and nothing else."""

    def __init__(
        self,
        live: Live,
        ports: Ports,
        credentials: Credentials,
        peers: Peers,
        release: str,
        *,
        features: Iterable[str],
    ) -> None:
        self.peers = peers
        self.credentials = credentials
        settings = live.now
        self.required = settings.link.require == "extended" or credentials.only_tls
        self._own = Abilities(
            protocol=PROTOCOL, version=release, node=settings.node.name, features=(TLS, *sorted(features))
        )
        self._live = live
        self._ports = ports

    @property
    def handshake_s(self) -> float:
        """How long a peer may take over TLS."""
        return self._live.now.limits.handshake_deadline_s

    @property
    def abilities(self) -> Abilities:
        """What this node says of itself, with the certificate that it shows now."""
        return msgspec.structs.replace(self._own, certificate=self.credentials.identity.certificate)

    def meet(self, theirs: Abilities) -> Agreement | None:
        """What both ends can do; ``None`` if the base protocol is all. :class:`ValueError` for our own mirror image."""
        if theirs.certificate == self.abilities.certificate:
            raise ValueError("the peer shows this node's own certificate: it is no peer, or its home is a copy")
        return agree(self.abilities, theirs)

    def trusted(self, theirs: Abilities) -> str | Authorities:
        """Whose certificate is taken of a peer that said this of itself."""
        return self.credentials.trusted(theirs.node, theirs.certificate)

    def turn(self, theirs: Abilities, *, server: bool, done: Callable[[], None]) -> Turn:
        """How the channel turns to TLS with a peer that said this of itself."""
        return Turn(Tls(server, self.credentials.identity, self.trusted(theirs), self.handshake_s), done)

    def opening(self, *, server: bool, done: Callable[[], None]) -> Opening | None:
        """How a stream opens with TLS, if it may; a master that signs lets strangers in that far, to join."""
        credentials = self.credentials
        trusted = credentials.vouched(strangers=server and credentials.signs)
        if trusted is None or not (server or credentials.only_tls):
            return None
        turn = Turn(Tls(server, credentials.identity, trusted, self.handshake_s), done)
        return Opening(turn, only=credentials.only_tls)

    def met(self, theirs: Abilities, agreement: Agreement, shown: bytes | None) -> Extended:
        """The peer of a link that stands inside TLS, in which it has ``shown`` its certificate (DER)."""
        return Extended(
            theirs.node,
            theirs.version,
            agreement.number,
            agreement.features,
            shown or b"",
            self.credentials.vouches(shown),
        )

    def objection(self, theirs: Abilities, shown: bytes | None, *, opened: bool) -> str | None:
        """Why a peer is refused now that TLS stands: it may have been revoked while it took its time over that.

        Where the cluster key vouches, and the stream was not ``opened`` with TLS, nothing can have changed.
        """
        if not opened and isinstance(self.trusted(theirs), str):
            return None
        return self.credentials.objection(shown or b"")

    def apart(self, theirs: Abilities) -> str:
        """Why two nodes of ours stay with the base protocol: a sentence for the log."""
        ours = self.abilities
        return (
            f"{theirs.node} ({_spoken(theirs)}) and this node ({_spoken(ours)}) have only the base protocol in common: "
            "bring both to neighbouring versions"
        )

    async def remembered(self, log: TaskLogger) -> list[Peer]:
        """Every peer of the home's memory; without one that can be read none, and a line in the log."""
        try:
            return await self._ports.threads.run(self.peers.all)
        except StoreError as error:
            log.warning("who has been here before is not known: %s", error)
            return []

    async def remember(self, kind: Literal["master", "worker"], peer: Extended, address: str, log: TaskLogger) -> None:
        """Keep that this peer has been seen extended; a certificate that is not the one of last time is told.

        A disk that refuses is told as well, and the link goes on.
        """
        try:
            shown = sha256(peer.shown).hexdigest()
            kept = Peer(
                type=kind,
                name=peer.node,
                address=address,
                version=peer.version,
                certificate=shown,
                since=self._ports.wall(),
                proof="ca" if peer.vouched else "key",
            )
            before = await self._ports.threads.run(self.peers.remember, kept)
        except StoreError as error:
            log.warning("%s was not remembered as a peer that speaks the extended protocol: %s", peer.node, error)
            return
        if before is not None and before.certificate != shown and not peer.vouched:
            log.warning(
                "%s shows another certificate than before (SHA-256 %s, was %s): has its home been made anew?",
                peer.node,
                shown[:16],
                before.certificate[:16],
            )


async def extension_of(
    live: Live, ports: Ports, home: Path, credentials: Credentials | None, features: Iterable[str]
) -> Extension | None:
    """The extension of a node that is starting; ``None`` without ``credentials``: it speaks the base protocol alone.

    ``features`` is what its kinds can do over such a link.
    """
    if credentials is None:
        return None
    release = await ports.threads.run(version, "outrider")
    return Extension(live, ports, credentials, Peers(home), release, features=features)


def _spoken(abilities: Abilities) -> str:
    spoken = abilities.protocol
    return f"version {abilities.version}, protocols {spoken.least} to {spoken.most}"
