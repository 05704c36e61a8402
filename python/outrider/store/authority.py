"""The cluster's certificate authority: a folder with its key, its ledger, and what every node trusts.

::

    ca.key        its key (and, while it is being replaced, the old one), mode 600, encrypted if there is a passphrase
    trust.pem     its certificate, and the list of what it has revoked: what nodes keep as well; the signing one first
    ledger.json   what it has signed and promised (:mod:`outrider.store.ledger`)

Several processes may use it at a time: a master that signs, and a person's commands. Each change takes the folder as
a lock and leaves every file whole. Every method touches the disk: call it in a thread.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from outrider.codes import Code
from outrider.errors import StoreError
from outrider.protocol.certificates import (
    Holder,
    NodeRole,
    Revocation,
    Signer,
    Trust,
    holder_of,
    make_authority,
    pem,
    requested_key,
)
from outrider.protocol.joining import SECRET_BYTES, Token
from outrider.settings.key_file import read_plain
from outrider.store import ledger as ledgers
from outrider.store.ledger import MOST_BYTES, Issued, Ledger, Promise
from outrider.store.private_keys import PRIVATE_KEYS, load_private, private_pem, why_not
from outrider.store.whole import alone, make_folder, write_whole

KEY, TRUST = "ca.key", "trust.pem"
AUTHORITY_DAYS = 3650.0
NODE_DAYS = 365.0
_SERIAL_BITS = 159
"""RFC 5280, 4.1.2.2: at most 20 bytes, and positive."""
_MOST_FRESH = 4
"""New certificates of one node that shows none of them: an answer may be lost, or the node die before it keeps it."""
_FRESH_AGAIN_S = 86_400.0
"""From then on it gets one in so many seconds: whose disk was full must not be left to expire."""


class Authority:
    """See the module. What signs needs the key, which the first line of ``passphrase_file`` opens, if there is one."""

    def __init__(self, folder: Path, random: Random, passphrase_file: Path | None = None) -> None:
        self.folder = folder
        self._random = random
        self._passphrase_file = passphrase_file

    @property
    def exists(self) -> bool:
        """Whether there is an authority in the folder."""
        return (self.folder / TRUST).exists()

    def create(self, cluster: str, now: float, days: float = AUTHORITY_DAYS) -> Trust:
        """Make a new authority; :class:`StoreError` if there is one already."""
        with _told("make", self.folder):
            make_folder(self.folder, 0o700)
        with alone(self.folder), _told("make", self.folder):
            if self.exists:
                raise StoreError(f"{self.folder} holds an authority already; `outrider ca rotate` replaces it").coded(
                    Code.AUTHORITY_STATE
                )
            signer = self._new(cluster, now, days)
            self._write_keys([signer.key])
            return self._publish(Ledger(), [signer], now)

    def trust(self) -> Trust:
        """Whom every node of the cluster trusts."""
        file = self.folder / TRUST
        try:
            return Trust(read_plain(file, MOST_BYTES)[0].decode())
        except FileNotFoundError:
            raise StoreError(f"there is no authority in {self.folder}; `outrider ca init` makes one").coded(
                Code.NO_AUTHORITY
            ) from None
        except OSError as error:
            raise StoreError(f"cannot read {file}: {error.strerror}").coded(Code.AUTHORITY_FILES) from error
        except ValueError as error:
            raise StoreError(f"{file} is damaged: {error}").coded(Code.AUTHORITY_FILES) from error

    def ledger(self) -> Ledger:
        """What it has signed and promised."""
        self.trust()
        return ledgers.read(self.folder)

    def check_keys(self) -> None:
        """:class:`StoreError` unless every authority's key is there and opens."""
        self._signers()

    def issue(self, public: Ed25519PublicKey, name: str, role: NodeRole, now: float, days: float = NODE_DAYS) -> str:
        """The certificate (PEM) of the node ``name``, which must have none that is good."""
        with self._changing() as ledger:
            _check_free(ledger, name, now)
            return self._sign(ledger, public, (name, role), now, days)

    def renew(self, held: Holder, request: str, now: float, days: float = NODE_DAYS) -> str:
        """The next certificate of one whose certificate is good, and has done half of its time at least.

        :class:`ValueError` for a bad request, and where it gets one after the other: the ledger would have no end.
        """
        public = requested_key(request)
        with self._changing() as ledger:
            mine = next((one for one in ledger.issued if one.serial == held.serial), None)
            if mine is None or not mine.good(now):
                raise ValueError("only a certificate that is good can be renewed")
            signing = self.trust().fingerprint
            if _is_fresh(mine, signing, now):
                raise ValueError("more than half of its time is left: it is renewed later")
            fresh = [one.since for one in ledger.issued if one.name == held.name and _is_fresh(one, signing, now)]
            if len(fresh) >= _MOST_FRESH and now - max(fresh) < _FRESH_AGAIN_S:
                raise ValueError(
                    f"{held.name} has {len(fresh)} new certificates already, and shows none of them; one more tomorrow"
                )
            return self._sign(ledger, public, (held.name, held.role), now, days)

    def token(self, name: str, ttl_s: float, now: float) -> Token:
        """The right of the node ``name`` to join once within ``ttl_s`` seconds; kept durably."""
        secret = self._random.randbytes(SECRET_BYTES).hex()
        with self._changing() as ledger:
            _check_free(ledger, name, now)
            token = Token(name, self._random.randbytes(8).hex(), secret, tuple(self.trust().fingerprints))
            kept = Promise(id=token.id, name=name, secret=_hash(secret), until=now + ttl_s)
            live = [one for one in ledger.tokens if one.until > now]
            self._keep(msgspec.structs.replace(ledger, tokens=(*live, kept)))
            return token

    def redeem(self, token_id: str, secret: str, request: str, now: float) -> tuple[str, str]:
        """A worker's name and certificate for a token, which is used up; :class:`ValueError` if it is not taken."""
        public = requested_key(request)
        with self._changing() as ledger:
            token = next((one for one in ledger.tokens if one.id == token_id), None)
            if token is None or not hmac.compare_digest(token.secret, _hash(secret)):
                raise ValueError("the token is not known here, or too old to be remembered")
            if token.used is not None:
                raise ValueError("the token has been used already; `outrider ca token` makes another")
            if token.until <= now:
                raise ValueError("the token has expired; `outrider ca token` makes another")
            _check_free(ledger, token.name, now)
            used = msgspec.structs.replace(token, used=now)
            tokens = tuple(used if one is token else one for one in ledger.tokens)
            spent = msgspec.structs.replace(ledger, tokens=tokens)
            return token.name, self._sign(spent, public, (token.name, "worker"), now, NODE_DAYS)

    def revoke(self, word: str, now: float) -> list[Issued]:
        """Revoke every good certificate of this name, or the one with this serial number; which those were.

        One that the ledger calls revoked and the list does not, since a crash came between the two, is among them.
        """
        with self._changing() as ledger:
            trust = self.trust()
            told = [one for one in ledger.issued if word in (one.name, one.serial) and one.until > now]
            gone = [one for one in told if one.revoked is None or _unlisted(one, trust)]
            issued = tuple(msgspec.structs.replace(one, revoked=now) if one in gone else one for one in ledger.issued)
            tokens = tuple(one for one in ledger.tokens if one.name != word)
            self._publish(msgspec.structs.replace(ledger, issued=issued, tokens=tokens), self._signers(), now)
            return gone

    def rotate(self, cluster: str, now: float, window_s: float, days: float = AUTHORITY_DAYS) -> float:
        """Put a new authority before the one there is, which goes in ``window_s`` seconds; when that is."""
        with self._changing() as ledger:
            if ledger.drop_at is not None:
                raise StoreError(
                    "the authority is being replaced already; `outrider ca rotate --finish` ends that at once"
                ).coded(Code.AUTHORITY_STATE)
            old = self._signers()
            new = self._new(cluster, now, days)
            self._write_keys([new.key, *(one.key for one in old)])
            self._publish(msgspec.structs.replace(ledger, drop_at=now + window_s), [new, *old], now)
            return now + window_s

    def hasten(self, now: float) -> bool:
        """Let the old authority's time be over; whether there is one. The master drops it then."""
        with self._changing() as ledger:
            if ledger.drop_at is None:
                return False
            self._keep(msgspec.structs.replace(ledger, drop_at=min(now, ledger.drop_at)))
            return True

    def outlived(self, now: float) -> bool:
        """Whether there is an old authority whose time is over."""
        drop_at = self.ledger().drop_at
        return drop_at is not None and drop_at <= now

    def finish(self, now: float) -> None:
        """Drop the old authority: certificates of it are good no more."""
        with self._changing() as ledger:
            signer = self._signers()[0]
            self._publish(msgspec.structs.replace(ledger, drop_at=None), [signer], now)
            self._write_keys([signer.key])

    # inside the lock

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Ledger]:
        if not self.exists:
            self.trust()
        with alone(self.folder), _told("write", self.folder):
            yield ledgers.read(self.folder)

    def _sign(
        self, ledger: Ledger, public: Ed25519PublicKey, node: tuple[str, NodeRole], now: float, days: float
    ) -> str:
        name, role = node
        signer = self._signers()[0]
        serial = self._random.getrandbits(_SERIAL_BITS)
        certificate = signer.sign(public, name, role, serial=serial, now=now, days=days)
        held = holder_of(certificate, signer.certificate.fingerprint(hashes.SHA256()).hex())
        issued = Issued(**held._asdict())
        self._keep(msgspec.structs.replace(ledger, issued=(*ledger.issued, issued)))
        return pem(certificate)

    def _keep(self, ledger: Ledger) -> None:
        ledgers.write(self.folder, ledger)

    def _publish(self, ledger: Ledger, signers: Iterable[Signer], now: float) -> Trust:
        """Write the ledger, then what nodes see of it."""
        ledger = msgspec.structs.replace(ledger, number=ledger.number + 1)
        self._keep(ledger)
        parts = []
        for signer in signers:
            fingerprint = signer.certificate.fingerprint(hashes.SHA256()).hex()
            revoked = [
                Revocation(one.serial, one.revoked)
                for one in ledger.issued
                if one.revoked is not None and one.authority == fingerprint
            ]
            parts.append((pem(signer.certificate), signer.revoke(revoked, ledger.number, now)))
        text = "".join([*(certificate for certificate, _ in parts), *(lists for _, lists in parts)])
        write_whole(self.folder / TRUST, text.encode(), 0o644)
        return Trust(text)

    def _new(self, cluster: str, now: float, days: float) -> Signer:
        key = Ed25519PrivateKey.from_private_bytes(self._random.randbytes(32))
        return Signer(make_authority(key, cluster, self._random.getrandbits(_SERIAL_BITS), now, days), key)

    def _signers(self) -> list[Signer]:
        """The authorities with their keys, the one that signs first."""
        file = self.folder / KEY
        try:
            passphrase = self._passphrase()
            found = [load_private(text, passphrase) for text in PRIVATE_KEYS.findall(read_plain(file)[0])]
        except OSError as error:
            raise StoreError(f"cannot read the authority's key {file}: {error.strerror}").coded(
                Code.AUTHORITY_FILES
            ) from error
        except (TypeError, ValueError) as error:
            raise StoreError(f"cannot open the authority's key {file}: {why_not(error)}").coded(
                Code.AUTHORITY_FILES
            ) from error
        keys = {key.public_key().public_bytes_raw(): key for key in found}
        signers = []
        for certificate in self.trust().authorities:
            key = keys.get(_raw(certificate))
            if key is None:
                raise StoreError(f"{file} holds no key for the authority in {self.folder / TRUST}: restore both").coded(
                    Code.AUTHORITY_FILES
                )
            signers.append(Signer(certificate, key))
        return signers

    def _write_keys(self, keys: Iterable[Ed25519PrivateKey]) -> None:
        passphrase = self._passphrase()
        write_whole(self.folder / KEY, b"".join(private_pem(key, passphrase) for key in keys), 0o600)

    def _passphrase(self) -> bytes | None:
        if self._passphrase_file is None:
            return None
        try:
            content, _ = read_plain(self._passphrase_file)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise StoreError(f"cannot read ca.passphrase_file {self._passphrase_file}: {why}").coded(
                Code.AUTHORITY_FILES
            ) from error
        first = content.partition(b"\n")[0].strip()
        if not first:
            raise StoreError(f"ca.passphrase_file {self._passphrase_file}: its first line is empty").coded(
                Code.AUTHORITY_FILES
            )
        return first


def _raw(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _check_free(ledger: Ledger, name: str, now: float) -> None:
    if ledger.holder(name, now) is not None:
        raise StoreError(
            f"{name} has a certificate that is good; if another node is to have the name: outrider ca revoke {name}"
        ).coded(Code.NAME_HAS_CERTIFICATE)


def _is_fresh(one: Issued, signing: str, now: float) -> bool:
    """Whether it is good and needs no successor yet; nodes ask later than this, whatever their clocks say."""
    return one.good(now) and one.authority == signing and one.until - now > (one.until - one.since) / 2


def _unlisted(one: Issued, trust: Trust) -> bool:
    return one.authority in trust.fingerprints and not trust.lists(one.serial)


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


@contextlib.contextmanager
def _told(action: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot {action} the authority in {folder}: {error.strerror}; is it yours?").coded(
            Code.AUTHORITY_FILES
        ) from error
