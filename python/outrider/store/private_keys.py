"""Private keys as PEM, with a passphrase or without one. It touches no disk."""

from __future__ import annotations

import re
from typing import Final

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE_KEYS: Final = re.compile(b"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----\n?", re.DOTALL)
"""Each key of a file that holds several."""


UNREADABLE: Final = (TypeError, UnsupportedAlgorithm, InternalError)
"""What cryptography raises, besides :class:`ValueError`, of a key that is closed, or is none of those it knows."""


def private_pem(key: Ed25519PrivateKey, passphrase: bytes | None = None) -> bytes:
    """A key as PEM, encrypted if there is a passphrase."""
    cipher: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        cipher = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)


def load_private(text: bytes, passphrase: bytes | None) -> Ed25519PrivateKey:
    """A key from PEM; :class:`ValueError` or :class:`TypeError` if it does not open: :func:`why_not` explains both."""
    encrypted = b"ENCRYPTED" in text.partition(b"\n")[0]
    try:
        key = serialization.load_pem_private_key(text, passphrase if encrypted else None)
    except (UnsupportedAlgorithm, InternalError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("it is not Ed25519")  # noqa: TRY004  (it is data that is wrong, not a type)
    return key


def why_not(error: Exception) -> str:
    """Why a key did not open, with the remedy."""
    if isinstance(error, TypeError):
        return "it is encrypted: name the file with its passphrase (ca.passphrase_file)"
    return f"the passphrase is another, or the file is damaged ({error})"
