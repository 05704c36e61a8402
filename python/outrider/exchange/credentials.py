"""What this node shows to its peers, whom it trusts, and what it thinks of a certificate, as things are now.

The files are looked at again and again (:data:`LOOK_S`): a new certificate is shown in the next handshake, links that
stand stay, and those whose peer is not trusted any more are cut by whoever holds them (``identity`` of both roles).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from outrider.codes import Code
from outrider.errors import Awaits, Nature, OutriderError, SettingsError, StoreError
from outrider.logs import TaskLogger
from outrider.ports import Authorities, Identity, Ports
from outrider.protocol.certificates import Holder, NodeRole, Trust
from outrider.settings import Settings
from outrider.status import Certificate, Status
from outrider.store.authority import Authority
from outrider.store.credentials import CredentialFiles, Shown
from outrider.store.identity import NODE, SEED_BYTES, install, install_trust
from outrider.transport.channel import Channel
from outrider.transport.tls import REFUSALS, REFUSED, REFUSES
from outrider.trying import Tries

LOOK_S: Final = 2.0
"""How often the files are looked at: whoever is revoked is out within 5 s, its handshake and the way included."""
AUTHORITY_FOLDER: Final = Path(".outrider/ca")


class Credentials:
    """See the module. One for each node that speaks the extended protocol."""

    def __init__(self, settings: Settings, ports: Ports, home: Path, status: Status, role: NodeRole) -> None:
        self.role: NodeRole = role
        self.peers: NodeRole = "master" if role == "worker" else "worker"
        self.only_tls = settings.link.tls == "required"
        self._strict = settings.link.tls != "any"
        self._name = settings.node.name
        self._ports = ports
        self._home = home
        self._status = status
        self.authority = authority_of(settings, ports, home)
        self._files = CredentialFiles(home, self.authority.folder, ports.random.randbytes(SEED_BYTES))
        self._shown: Shown | None = None
        self.version = 0  # of whom this node trusts: what stood before is judged anew when it has grown

    @classmethod
    async def of(
        cls, settings: Settings, ports: Ports, home: Path, status: Status, role: NodeRole
    ) -> Credentials | None:
        """Those of a node that is starting; ``None`` where the settings want the base protocol alone."""
        if settings.link.require == "base":
            return None
        credentials = cls(settings, ports, home, status, role)
        await credentials.open()
        return credentials

    async def open(self) -> None:
        """Read the files for the first time.

        :class:`StoreError` if they cannot be read, :class:`SettingsError` if ``link.tls`` demands what they lack.
        """
        await self.look()
        if self.only_tls and self.holder is None:
            raise SettingsError(
                "link.tls = required: this node has no certificate of an authority; `outrider join` gives a worker its "
                "own, `outrider ca init` a master"
            ).coded(Code.NO_CERTIFICATE)
        if self.holder is not None and (self.holder.name, self.holder.role) != (self._name, self.role):
            held = f"the {self.holder.role} {self.holder.name}"
            raise SettingsError(
                f"node.name: this node is the {self.role} {self._name}, its certificate is of {held}"
            ).coded(Code.CERTIFICATE_OF_ANOTHER)

    async def look(self) -> bool:
        """Read what has changed; whether something has.

        :class:`StoreError` as long as a file is damaged or cannot be read; what is right of the rest is taken.
        """
        try:
            return await self._ports.threads.run(self._files.read)
        finally:
            self._take(self._files.shown)

    def _take(self, found: Shown | None) -> None:
        if found is None or found is self._shown:
            return
        if self._shown is None or _text(self._shown) != _text(found):
            self.version += 1
        self._shown = found
        held = found.holder
        self._status.certificate = held and Certificate(
            name=held.name, serial=held.serial, authority=held.authority, until=held.until
        )

    async def look_again(self, tries: Tries, log: TaskLogger) -> None:
        """:meth:`look` for whoever does so every :data:`LOOK_S`; what hinders it is told as ``tries`` has it."""
        try:
            if await self.look():
                log.info("the certificate of this node, or whom it trusts, has changed")
        except StoreError as error:
            tries.failed(error, asked=True)
        else:
            tries.worked()

    @property
    def identity(self) -> Identity:
        """The certificate that is shown in the next handshake."""
        return self._now.identity

    @property
    def holder(self) -> Holder | None:
        """Who the authority says that this node is; ``None`` if it says nothing."""
        return self._now.holder

    @property
    def trust(self) -> Trust | None:
        """The authorities that this node trusts, if it knows any."""
        return self._now.trust

    @property
    def signs(self) -> bool:
        """Whether this node holds the cluster's authority."""
        return self._now.trust is not None and self.authority.exists

    def trusted(self, name: str, certificate: str) -> str | Authorities:
        """Whom to take in TLS after a peer has named itself and its certificate (PEM), sealed with the cluster key."""
        trust, file = self.trust, self._now.file
        if trust is None or file is None:
            return certificate
        if not self._strict and not _knows(trust, certificate):
            return certificate
        return Authorities(file, name)

    def vouched(self, *, strangers: bool = False) -> Authorities | None:
        """Whom to take where TLS opens the stream; ``None`` if this node has no certificate to show there."""
        file = self._now.file
        return None if self.holder is None or file is None else Authorities(file, strangers=strangers)

    def who(self, certificate: bytes) -> Holder:
        """Whom the certificate (DER) of a peer names, as things are now; :class:`ValueError` if it is not good."""
        if self.trust is None:
            raise ValueError("this node knows no authority any more")
        return self.trust.judge(certificate, self.peers, self._ports.wall())

    def vouches(self, certificate: bytes | None) -> bool:
        """Whether an authority has signed the certificate (DER) that a peer has shown."""
        return certificate is not None and self.trust is not None and self.trust.knows(certificate)

    def objection(self, certificate: bytes) -> str | None:
        """Why a link that stands must end: its peer is revoked, or of an authority that is trusted no more."""
        if self.trust is None:
            return None
        try:
            self.trust.judge(certificate, self.peers, None)
        except ValueError as error:
            return str(error)
        return None

    def own_fault(self) -> str | None:
        """What is wrong with this node's own certificate, as far as it can see itself."""
        now = self._now
        if now.trust is None:
            return None
        try:
            now.trust.judge(now.identity.certificate.encode(), self.role, self._ports.wall())
        except ValueError as error:
            return str(error)
        return None

    def guess(self) -> str:
        """What may be behind a master that ends a link without a word, as far as this node can see."""
        fault = self.own_fault()
        return f"of this node: {fault}" if fault else "the master's log says why"

    def blame(self, error: OutriderError, channel: Channel) -> None:
        """Have a link that did not come about be tried again as whose certificate is to blame for that asks for.

        Whoever it is, a new certificate here is tried at once: `outrider join` brings one, and whom to trust.
        """
        reason = channel.reason
        if not (channel.opened or channel.shown is not None or reason.startswith(REFUSALS)):
            return
        error.until(Awaits("file", str((self._home / NODE).absolute())))
        held, now = self.holder, self._ports.wall()
        if held is not None and now < held.since:
            return  # this machine has just started, and its clock is not set yet
        if (self.own_fault() and (held or self._strict)) or (reason.startswith(REFUSED) and "certificate" in reason):
            error.nature = Nature.PERMANENT
        elif reason.startswith(REFUSES) or error.situation == Code.PEER_NOT_TRUSTED:
            error.nature = Nature.PEER

    async def take_trust(self, text: str) -> None:
        """Trust whom the master says (PEM) from now on; nothing is written that stands there.

        :class:`ValueError` if it is no such text, :class:`StoreError` if it cannot be kept.
        """
        now = self._now
        if now.trust is not None and now.trust.text == text:
            return
        Trust(text)
        await self._ports.threads.run(install_trust, self._home, text)
        try:
            await self.look()
        except StoreError:
            if self.trust is None or self.trust.text != text:
                raise  # else it is of this node's own certificate, and told by whoever looks again

    async def replace(self, key: Ed25519PrivateKey, certificate: str, trust: str | None = None) -> None:
        """Take a new certificate for a new key; :class:`StoreError` if it cannot be kept."""
        await self._ports.threads.run(install, self._home, key, certificate, trust)
        await self.look()

    @property
    def _now(self) -> Shown:
        if self._shown is None:
            raise StoreError("this node's certificate has not been read yet").coded(Code.IDENTITY_FILE)
        return self._shown


def authority_of(settings: Settings, ports: Ports, home: Path) -> Authority:
    """Where the cluster's authority is, if this node holds it."""
    folder = home / (settings.ca.folder or AUTHORITY_FOLDER)
    return Authority(folder, ports.random, settings.ca.passphrase_file)


def _text(shown: Shown) -> str:
    return "" if shown.trust is None else shown.trust.text


def _knows(trust: Trust, certificate: str) -> bool:
    try:
        return trust.knows(certificate.encode())
    except ValueError:
        return False
