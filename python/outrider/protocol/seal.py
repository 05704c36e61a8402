"""Plaintext <-> authenticated token (specification 1.3). What does not open goes no further.

The token is Fernet's; only the way of the key is ours to know: the cluster key's 32 characters are
the 32 key bytes. The ring seals with its first key and opens with all, so that a key can be rotated.
Time is an argument. There is no protection against replay on the base link: ``max_age_s`` bounds
the age of a token where clocks are known to agree.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final, Protocol

from cryptography.fernet import Fernet, InvalidToken

from outrider.errors import ProtocolError

AGE_SETTING: Final = "link.token_age_s"
"""The setting that a token which is too old runs into."""
_CLOCK_SKEW_S = 60


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
        self._fernets = [Fernet(urlsafe_b64encode(key)) for key in keys]
        self._max_age_s = max_age_s

    def seal(self, plain: bytes, wall: float) -> bytes:
        """A token of ``plain``, sealed with the first key."""
        return self._fernets[0].encrypt_at_time(plain, int(wall))

    def open(self, token: bytes, wall: float) -> bytes:
        """The plain bytes of a token that one of the keys made and that is not too old."""
        for fernet in self._fernets:
            try:
                plain = fernet.decrypt(token)
            except InvalidToken:
                continue
            if self._max_age_s:
                self._check_age(fernet.extract_timestamp(token), wall)
            return plain
        raise ProtocolError("a payload does not open: the cluster keys differ, or it was damaged")

    def _check_age(self, stamped: int, wall: float) -> None:
        age = wall - stamped
        if age > self._max_age_s:
            reason = f"a token is {age:.0f} s old, {self._max_age_s:.0f} s are allowed: compare the clocks"
            raise ProtocolError(reason, AGE_SETTING)
        if age < -_CLOCK_SKEW_S:
            raise ProtocolError(f"a token is {-age:.0f} s ahead of this node's clock: compare the clocks", AGE_SETTING)
