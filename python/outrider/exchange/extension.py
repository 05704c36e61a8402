"""What a node brings to an extended link, whichever its role: its certificate, its abilities, its memory of peers.

The roles do the talking (``worker/extending.py``, ``master/extending.py``): a probe after hello, its answer,
``start_tls``, and from then on everything inside TLS. ``Session.extended`` tells everybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

from outrider.errors import StoreError
from outrider.logs import TaskLogger
from outrider.ports import Identity, Ports, Tls
from outrider.protocol.abilities import PROTOCOL, TLS, Abilities, Agreement, agree
from outrider.settings import Settings
from outrider.store.identity import SEED_BYTES, fingerprint, identity_of
from outrider.store.peers import Peer, Peers
from outrider.transport.channel import Turn


class Extended(NamedTuple):
    """The peer of an extended link: who it is, what runs there, and what both ends can do."""

    node: str
    version: str
    protocol: int
    features: frozenset[str]


class Extension:
    """See the module. One for each node; a node without one speaks the base protocol and nothing else."""

    def __init__(
        self,
        settings: Settings,
        ports: Ports,
        identity: Identity,
        peers: Peers,
        release: str,
        *,
        features: Iterable[str],
    ) -> None:
        self.peers = peers
        self.abilities = Abilities(
            protocol=PROTOCOL,
            version=release,
            node=settings.node.name,
            features=(TLS, *sorted(features)),
            certificate=identity.certificate,
        )
        self.required = settings.link.require == "extended"
        self.handshake_s = settings.limits.handshake_deadline_s
        self._ports = ports
        self._identity = identity

    def meet(self, theirs: Abilities) -> Agreement | None:
        """What both ends can do; ``None`` if the base protocol is all. :class:`ValueError` for our own mirror image."""
        if theirs.certificate == self.abilities.certificate:
            raise ValueError("the peer shows this node's own certificate: it is no peer, or its home is a copy")
        return agree(self.abilities, theirs)

    def turn(self, theirs: Abilities, *, server: bool, done: Callable[[], None]) -> Turn:
        """How the channel turns to TLS with a peer that said this of itself."""
        return Turn(Tls(server, self._identity, theirs.certificate, self.handshake_s), done)

    def apart(self, theirs: Abilities) -> str:
        """Why two nodes of ours stay with the base protocol: a sentence for the log."""
        ours = self.abilities
        return (
            f"{theirs.node} ({_spoken(theirs)}) and this node ({_spoken(ours)}) have only the base protocol in common: "
            "bring both to neighbouring versions"
        )

    async def remember(
        self, kind: Literal["master", "worker"], theirs: Abilities, address: str, log: TaskLogger
    ) -> None:
        """Keep that this peer has been seen extended; a certificate that is not the one of last time is told.

        A disk that refuses is told as well, and the link goes on.
        """
        try:
            shown = fingerprint(theirs.certificate)
            peer = Peer(
                type=kind,
                name=theirs.node,
                address=address,
                version=theirs.version,
                certificate=shown,
                since=self._ports.wall(),
            )
            before = await self._ports.threads.run(self.peers.remember, peer)
        except (StoreError, ValueError) as error:
            log.warning("%s was not remembered as a peer that speaks the extended protocol: %s", theirs.node, error)
            return
        if before is not None and before.certificate != shown:
            log.warning(
                "%s shows another certificate than before (SHA-256 %s, was %s): has its home been made anew?",
                theirs.node,
                shown[:16],
                before.certificate[:16],
            )


async def extension_of(settings: Settings, ports: Ports, home: Path, features: Iterable[str]) -> Extension | None:
    """The extension of a node that is starting; ``None`` where the settings want the base protocol alone.

    ``features`` is what its kinds can do over such a link.

    :class:`StoreError` if its certificate can be neither read nor made.
    """
    if settings.link.require == "base":
        return None
    seed = ports.random.randbytes(SEED_BYTES)
    identity = await ports.threads.run(identity_of, home, seed)
    release = await ports.threads.run(version, "outrider")
    return Extension(settings, ports, identity, Peers(home), release, features=features)


def _spoken(abilities: Abilities) -> str:
    spoken = abilities.protocol
    return f"version {abilities.version}, protocols {spoken.least} to {spoken.most}"
