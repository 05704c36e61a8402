"""The X.509 of this cluster: one authority signs each node's certificate, directly. Pure: time is an argument.

A certificate names its node (SAN and CN) and its role: a master's may serve and no more, a worker's may call and
no more (extended key usage), so that no worker can pose as a master. ``trust`` is PEM text: the authorities that are
trusted, the one that signs now first, and a list of revoked certificates of each. Everything of X.509 is done
by `cryptography <https://cryptography.io>`_.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NodeRole = Literal["worker", "master"]

LEFT: Final = 1 / 3
"""The share of a certificate's time that is left when the next one is asked for: of a year four months."""
REVOKED: Final = "its certificate has been revoked"
FOREIGN: Final = (
    "its certificate is of no authority that this node trusts: it has none, is of another cluster, "
    "or was away while the authority was replaced; `outrider join` gives it a new one"
)
_USES = {"worker": ExtendedKeyUsageOID.CLIENT_AUTH, "master": ExtendedKeyUsageOID.SERVER_AUTH}
_FOR_EVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_SKEW = timedelta(minutes=5)
"""A certificate is good from a little before it was made: clocks of two nodes differ."""
_LIST = re.compile("-----BEGIN X509 CRL-----.*?-----END X509 CRL-----\n?", re.DOTALL)


_UNREADABLE = (
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises, besides :class:`ValueError`, about bytes that somebody has made up."""


class Holder(NamedTuple):
    """Whom a certificate names; ``serial`` and ``authority`` (SHA-256 of its signer) in hex, times in Unix seconds."""

    name: str
    role: NodeRole
    serial: str
    authority: str
    since: float
    until: float

    def due(self, signing: str, now: float) -> bool:
        """Whether it is time for the next one: little is left, or another authority (SHA-256 in hex) signs now."""
        return self.authority != signing or self.until - now < LEFT * (self.until - self.since)


class Revocation(NamedTuple):
    """A certificate that is good no more: its serial number in hex, and since when in Unix seconds."""

    serial: str
    at: float


class Trust:
    """The authorities and lists of a trust text, read once; :class:`ValueError` if it is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self.authorities = x509.load_pem_x509_certificates(text.encode())
            lists = [x509.load_pem_x509_crl(found.encode()) for found in _LIST.findall(text)]
            self._lists = {one.issuer.public_bytes(): one for one in lists}
            for authority in self.authorities:
                found = self._lists.get(authority.subject.public_bytes())
                if found is None or not found.is_signature_valid(_key_of(authority)):
                    raise ValueError("an authority comes without the list of what it has revoked")
        except _UNREADABLE as error:
            raise ValueError(f"an authority, or its list, cannot be read: {error}") from error

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority that signs now."""
        return _fingerprint(self.authorities[0])

    @property
    def fingerprints(self) -> list[str]:
        """SHA-256 of every authority."""
        return [_fingerprint(one) for one in self.authorities]

    def judge(self, certificate: bytes, role: NodeRole, now: float | None) -> Holder:
        """Who holds a ``certificate`` (DER or PEM) that must be of this role. Without ``now`` dates do not matter.

        :class:`ValueError` says why it is not taken: authority, dates, list, role or name.
        """
        shown = read(certificate)
        authority = next((one for one in self.authorities if _signed(shown, one)), None)
        if authority is None:
            raise ValueError(FOREIGN)
        if now is not None:
            _check_dates(shown, now)
        found = self._lists[authority.subject.public_bytes()]
        if found.get_revoked_certificate_by_serial_number(shown.serial_number) is not None:
            raise ValueError(REVOKED)
        holder = holder_of(shown, _fingerprint(authority))
        if holder.role != role:
            raise ValueError(f"its certificate is a {holder.role}'s, not a {role}'s")
        return holder

    def knows(self, certificate: bytes) -> bool:
        """Whether one of the authorities has signed ``certificate``, whatever became of it."""
        return any(_signed(read(certificate), one) for one in self.authorities)

    def lists(self, serial: str) -> bool:
        """Whether a list names this serial number (hex) as revoked."""
        found = (one.get_revoked_certificate_by_serial_number(int(serial, 16)) for one in self._lists.values())
        return any(one is not None for one in found)

    def holder(self, certificate: bytes) -> Holder | None:
        """Whom a certificate of these authorities names, good or not; ``None`` for any other."""
        shown = read(certificate)
        authority = next((one for one in self.authorities if _signed(shown, one)), None)
        return None if authority is None else holder_of(shown, _fingerprint(authority))


def read(certificate: bytes) -> x509.Certificate:
    """A certificate from DER or PEM; :class:`ValueError` if it is none."""
    try:
        if certificate.startswith(b"0"):
            return x509.load_der_x509_certificate(certificate)
        return x509.load_pem_x509_certificate(certificate)
    except (ValueError, *_UNREADABLE) as error:
        raise ValueError("its certificate cannot be read") from error


def holder_of(certificate: x509.Certificate, authority: str) -> Holder:
    """Whom a certificate names; :class:`ValueError` if it is not one that an authority of ours makes."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (name,) = names.get_values_for_type(x509.DNSName)
        (use,) = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        (role,) = [role for role, known in _USES.items() if known == use]
    except (ValueError, *_UNREADABLE) as error:
        raise ValueError("its certificate names no node of a cluster") from error
    return Holder(
        name=name,
        role="master" if role == "master" else "worker",
        serial=f"{certificate.serial_number:x}",
        authority=authority,
        since=certificate.not_valid_before_utc.timestamp(),
        until=certificate.not_valid_after_utc.timestamp(),
    )


def make_authority(key: Ed25519PrivateKey, cluster: str, serial: int, now: float, days: float) -> x509.Certificate:
    """The certificate of a new authority."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"{cluster} cluster authority"),
            x509.NameAttribute(
                NameOID.SERIAL_NUMBER, f"{serial:x}"
            ),  # two authorities of a cluster must not look alike
        ]
    )
    usage = {"key_cert_sign": True, "crl_sign": True}
    return (
        _builder(name, name, key.public_key(), serial, (now, days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, None)
    )


def make_request(key: Ed25519PrivateKey, name: str) -> str:
    """A request for a certificate for ``key``, which stays here; PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, None)
    return request.public_bytes(serialization.Encoding.PEM).decode()


def requested_key(request: str) -> Ed25519PublicKey:
    """The key of a request, whose owner has proved to hold it; :class:`ValueError` if not."""
    try:
        read_request = x509.load_pem_x509_csr(request.encode())
        key = read_request.public_key()
        proven = read_request.is_signature_valid
    except (ValueError, *_UNREADABLE) as error:
        raise ValueError("the request for a certificate cannot be read") from error
    if not proven or not isinstance(key, Ed25519PublicKey):
        raise ValueError("the request for a certificate is not signed by an Ed25519 key of its own")
    return key


class Signer(NamedTuple):
    """An authority's certificate and its key."""

    certificate: x509.Certificate
    key: Ed25519PrivateKey

    def sign(
        self, public: Ed25519PublicKey, name: str, role: NodeRole, *, serial: int, now: float, days: float
    ) -> x509.Certificate:
        """The certificate of the node ``name``, good for ``days`` but no longer than the authority itself."""
        left = (self.certificate.not_valid_after_utc.timestamp() - now) / 86_400
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            _builder(subject, self.certificate.subject, public, serial, (now, min(days, left)))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_USES[role]]), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(identifier, critical=False)
            .sign(self.key, None)
        )

    def revoke(self, revocations: Iterable[Revocation], number: int, now: float) -> str:
        """The list of everything that this authority has revoked; PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(datetime.fromtimestamp(now, UTC) - _SKEW)
            .next_update(_FOR_EVER)  # who is not told anew goes on with what it has
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        for one in revocations:
            entry = x509.RevokedCertificateBuilder().serial_number(int(one.serial, 16))
            builder = builder.add_revoked_certificate(
                entry.revocation_date(datetime.fromtimestamp(one.at, UTC)).build()
            )
        return builder.sign(self.key, None).public_bytes(serialization.Encoding.PEM).decode()


def pem(certificate: x509.Certificate) -> str:
    """A certificate as PEM text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _builder(
    subject: x509.Name, issuer: x509.Name, public: Ed25519PublicKey, serial: int, time: tuple[float, float]
) -> x509.CertificateBuilder:
    now, days = time
    start = datetime.fromtimestamp(int(now), UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(start - _SKEW)
        .not_valid_after(start + timedelta(days=days))
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _check_dates(certificate: x509.Certificate, now: float) -> None:
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < since.timestamp():
        raise ValueError(f"its certificate is not valid before {since:%Y-%m-%d %H:%M:%SZ}: compare the clocks")
    if now > until.timestamp():
        raise ValueError(f"its certificate has expired on {until:%Y-%m-%d %H:%M:%SZ}")


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, InvalidSignature, *_UNREADABLE):
        return False
    return True


def _key_of(authority: x509.Certificate) -> Ed25519PublicKey:
    key = authority.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("an authority's key is not Ed25519")  # noqa: TRY004  (it is data that is wrong, not a type)
    return key


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()
