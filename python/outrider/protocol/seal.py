"""Plaintext <-> authenticated token (specification 1.3). What does not open goes no further.

A token is Fernet's: version, seconds, IV, AES-128-CBC, HMAC-SHA256, as text. ``cryptography`` does AES and HMAC, the
native core the text, on which the class ``Fernet`` spends most of its time (ADR 7). The cluster key's 32 characters
are the 32 key bytes. The ring seals with its first key and opens with all, so that a key can be rotated. Time is an
argument. There is no protection against replay on the base link: ``max_age_s`` bounds the age of a token where clocks
are known to agree.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Sequence
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from outrider._native import base64url_decode, base64url_encode
from outrider.errors import ProtocolError

_CLOCK_SKEW_S = 60
_VERSION = 0x80
_HEAD = struct.Struct("!BQ16s")
"""Version, seconds, IV."""
_BLOCK = 16
_MAC = 32
_LEAST = _HEAD.size + _BLOCK + _MAC
_PADDINGS = [bytes([size]) * size for size in range(_BLOCK + 1)]


class Seal(Protocol):
    """How a link protects its payloads."""

    def seal(self, plain: bytes, wall: float) -> bytes:
        """Protect ``plain``, stamped with ``wall`` (Unix seconds)."""
        ...

    def open(self, token: bytes, wall: float) -> bytes:
        """The plain bytes of ``token``; :class:`ProtocolError` if it is not authentic."""
        ...


class NoSeal:
    """Payloads as they are: the local socket's way."""

    def seal(self, plain: bytes, wall: float) -> bytes:  # noqa: ARG002
        """Return ``plain``."""
        return plain

    def open(self, token: bytes, wall: float) -> bytes:  # noqa: ARG002
        """Return ``token``."""
        return token


class KeyRing:
    """Cluster keys of 32 bytes each: the first seals, all open. ``max_age_s`` 0 leaves token times unchecked."""

    def __init__(self, keys: Sequence[bytes], max_age_s: float = 0) -> None:
        self._keys = [_Key(key) for key in keys]
        self._max_age_s = max_age_s

    def seal(self, plain: bytes, wall: float) -> bytes:
        """A token of ``plain``, sealed with the first key."""
        return base64url_encode(self._keys[0].seal(plain, int(wall)))

    def open(self, token: bytes, wall: float) -> bytes:
        """The plain bytes of a token that one of the keys made and that is not too old."""
        try:
            sealed = base64url_decode(token)
        except ValueError:
            sealed = b""
        for key in self._keys:
            plain = key.open(sealed)
            if plain is not None:
                if self._max_age_s:
                    self._check_age(_HEAD.unpack_from(sealed)[1], wall)
                return plain
        raise ProtocolError("a payload does not open: the cluster keys differ, or it was damaged")

    def _check_age(self, stamped: int, wall: float) -> None:
        age = wall - stamped
        if age > self._max_age_s:
            raise ProtocolError(f"a token is {age:.0f} s old, {self._max_age_s:.0f} s are allowed: compare the clocks")
        if age < -_CLOCK_SKEW_S:
            raise ProtocolError(f"a token is {-age:.0f} s ahead of this node's clock: compare the clocks")


class _Key:
    """One cluster key: its first half authenticates, its second half encrypts (1.3)."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 2 * _BLOCK:
            raise ValueError(f"a cluster key has {2 * _BLOCK} bytes, this has {len(key)}")
        self._mac = HMAC(key[:_BLOCK], SHA256())
        self._aes = AES(key[_BLOCK:])

    def seal(self, plain: bytes, seconds: int) -> bytes:
        """Encrypt, then authenticate all of it."""
        iv = secrets.token_bytes(_BLOCK)
        cipher = Cipher(self._aes, CBC(iv)).encryptor()
        padding = _PADDINGS[_BLOCK - len(plain) % _BLOCK]
        signed = b"".join((_HEAD.pack(_VERSION, seconds, iv), cipher.update(plain), cipher.update(padding)))
        mac = self._mac.copy()
        mac.update(signed)
        return signed + mac.finalize()

    def open(self, sealed: bytes) -> bytes | None:
        """What was sealed; ``None`` if this key did not seal it. Nothing is decrypted before it is authentic."""
        if len(sealed) < _LEAST or (len(sealed) - _LEAST) % _BLOCK or sealed[0] != _VERSION:
            return None
        view = memoryview(sealed)
        mac = self._mac.copy()
        mac.update(view[:-_MAC])
        try:
            mac.verify(sealed[-_MAC:])
        except InvalidSignature:
            return None
        iv = sealed[_HEAD.size - _BLOCK : _HEAD.size]
        padded = Cipher(self._aes, CBC(iv)).decryptor().update(view[_HEAD.size : -_MAC])
        padding = padded[-1]
        return padded[:-padding] if 0 < padding <= _BLOCK and padded.endswith(_PADDINGS[padding]) else None
