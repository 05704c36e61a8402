"""The node's own certificate and key, ``<home>/.outrider/identity/node.pem``, and beside it whom it trusts.

A node without an authority makes its certificate itself, at its first start. It proves nothing: a peer trusts it
since it came sealed with the cluster key. So it names nobody, and its dates span all of time: a node whose clock is
wrong must not be locked out by them. The key is Ed25519 from 32 bytes of chance, and all else in the certificate
follows from it. A certificate of the cluster's authority takes its place, with a key that was made here as well
(:func:`install`). Whoever wants a new identity removes the file and starts the node again, or joins anew.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from outrider.codes import Code
from outrider.errors import DamagedError, StoreError
from outrider.ports import Identity
from outrider.settings.key_file import read_plain
from outrider.store.private_keys import UNREADABLE, private_pem
from outrider.store.whole import make_folder, write_whole

SEED_BYTES = 32
NODE, TRUST = Path(".outrider/identity/node.pem"), Path(".outrider/identity/trust.pem")
_FROM = datetime(1970, 1, 1, tzinfo=UTC)
_UNTIL = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280, 4.1.2.5: a certificate that has no well-defined end."""
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "outrider node")])


def identity_of(home: Path, seed: bytes) -> Identity:
    """The identity of the node at ``home``; made from ``seed``, 32 bytes of chance, if there is none yet.

    :class:`StoreError` if it cannot be read or written. Call it in a thread.
    """
    file = home / NODE
    try:
        if not file.exists():
            make_folder(file.parent, 0o700)
            write_whole(file, _make(seed), 0o600)
        pem, _ = read_plain(file)
    except ValueError as error:
        raise DamagedError(f"{file} is not this node's key and certificate: {error}; remove it").coded(
            Code.IDENTITY_FILE
        ) from error
    except OSError as error:
        raise StoreError(f"cannot keep this node's certificate in {file}: {error.strerror}").coded(
            Code.IDENTITY_FILE
        ) from error
    with contextlib.suppress(ValueError, *UNREADABLE):
        serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
        return Identity(certificate.public_bytes(serialization.Encoding.PEM).decode(), file)
    raise DamagedError(f"{file} is not this node's key and certificate: remove it, and a new one is made").coded(
        Code.IDENTITY_FILE
    )


def install(home: Path, key: Ed25519PrivateKey, certificate: str, trust: str | None = None) -> None:
    """Make ``certificate`` (PEM) and its key the node's own, and the PEM text ``trust`` whom it trusts.

    Trust comes first: what a crash leaves is a node that knows the authority and still has its old certificate.
    :class:`StoreError` if they cannot be written. Call it in a thread.
    """
    if trust is not None:
        install_trust(home, trust)
    try:
        make_folder((home / NODE).parent, 0o700)
        write_whole(home / NODE, private_pem(key) + certificate.encode(), 0o600)
    except OSError as error:
        raise StoreError(f"cannot keep this node's certificate in {home / NODE}: {error.strerror}").coded(
            Code.IDENTITY_FILE
        ) from error


def install_trust(home: Path, trust: str) -> None:
    """Make the PEM text ``trust`` whom the node trusts; otherwise as :func:`install`."""
    try:
        make_folder((home / TRUST).parent, 0o700)
        write_whole(home / TRUST, trust.encode(), 0o644)
    except OSError as error:
        raise StoreError(f"cannot keep whom this node trusts in {home / TRUST}: {error.strerror}").coded(
            Code.IDENTITY_FILE
        ) from error


def fingerprint(certificate: str) -> str:
    """SHA-256 of a certificate (PEM) in hex: how people tell two of them apart; :class:`ValueError` if it is none."""
    return x509.load_pem_x509_certificate(certificate.encode()).fingerprint(hashes.SHA256()).hex()


def _make(seed: bytes) -> bytes:
    """Key and certificate as PEM, one after the other."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key()
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(public)
        .serial_number(1)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, None)
    )
    return private_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)
