"""Plaintext <-> authenticated token (specification 1.3). What does not open goes no further.

The token is Fernet's; only the way of the key is ours to know: the cluster key's 32 characters are
the 32 key bytes, the first half signs, the second encrypts. The ring seals with its first key and opens with all,
so that a key can be rotated. One link answers in the key in which it was spoken to, so that a peer who has not
heard of a new key yet understands what it is told. Of a key that was rotated out the signing half alone is kept:
it tells an old seal from a stranger's and opens nothing.

Time is an argument. There is no protection against replay on the base link: ``max_age_s`` bounds
the age of a token where clocks are known to agree.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from outrider.codes import Code
from outrider.errors import ProtocolError

AGE_SETTING: Final = "link.token_age_s"
"""The setting that a token which is too old runs into."""
WINDOW_SETTING: Final = "link.key_window"
"""The setting that a key runs into which was rotated out."""
_CLOCK_SKEW_S = 60
_SIGNS = slice(0, 16)
_SIGNATURE_BYTES = 32
_STAMP = slice(1, 9)


class Seal(Protocol):
    """How a link protects its payloads."""

    def seal(self, plain: bytes, wall: float) -> bytes:
        """Protect ``plain``, stamped with ``wall`` (Unix seconds)."""
        ...

    def open(self, token: bytes, wall: float) -> bytes:
        """The plain bytes of ``token``; :class:`ProtocolError` if it is not authentic."""
        ...


class Seals(Protocol):
    """Where each link of a node has its seal from."""

    def link(self) -> Seal:
        """The seal of a link that is about to open."""
        ...


class NoSeal:
    """Payloads as they are: the local socket's way."""

    def link(self) -> NoSeal:
        """The same for every link."""
        return self

    def seal(self, plain: bytes, wall: float) -> bytes:  # noqa: ARG002
        """Return ``plain``."""
        return plain

    def open(self, token: bytes, wall: float) -> bytes:  # noqa: ARG002
        """Return ``token``."""
        return token


class Retired(NamedTuple):
    """A key that was rotated out: the half of it that signs, and since when (a date, for people)."""

    signs: bytes
    since: str

    def made(self, token: bytes) -> bool:
        """Whether this key made a token."""
        try:
            raw = urlsafe_b64decode(token)
            mac = HMAC(self.signs, SHA256())
            mac.update(raw[:-_SIGNATURE_BYTES])
            mac.verify(raw[-_SIGNATURE_BYTES:])
        except (NotBase64, ValueError, InvalidSignature):
            return False
        return True


def stamp_of(token: bytes) -> int:
    """When a token was made, in Unix seconds by the clock of its maker; to be believed of one that was opened."""
    return int.from_bytes(urlsafe_b64decode(token)[_STAMP], "big")


def signing_half(key: bytes) -> bytes:
    """What :class:`Retired` keeps of a key."""
    return key[_SIGNS]


class KeyRing:
    """Cluster keys of 32 bytes each: the first seals, all open. ``max_age_s`` 0 leaves token times unchecked.

    The links of a node share it, and :meth:`replace` reaches all of them at once.
    """

    def __init__(self, keys: Sequence[bytes], max_age_s: float = 0) -> None:
        self.max_age_s = max_age_s
        self._known: dict[bytes, Fernet] = {}  # the same object for the same key: links hold on to theirs
        self.replace(keys)

    def replace(self, keys: Sequence[bytes], retired: Sequence[Retired] = ()) -> None:
        """From now on these are the keys, and those were."""
        self.keys = tuple(keys)
        self.retired = tuple(retired)
        self._known = {key: self._known.get(key) or Fernet(urlsafe_b64encode(key)) for key in keys}
        self._fernets = tuple(self._known.values())
        self._turn = 0

    def try_next(self) -> None:
        """The peer does not seem to know the key that links begin with: the next one begins with the next key."""
        self._turn = (self._turn + 1) % len(self._fernets)

    def link(self) -> LinkSeal:
        """The seal of one link; it begins with the ring's first key."""
        return LinkSeal(self, self._fernets[self._turn])

    def seal(self, plain: bytes, wall: float) -> bytes:
        """A token of ``plain``, sealed with the first key."""
        return self.seal_with(self._fernets[0], plain, wall)

    def open(self, token: bytes, wall: float) -> bytes:
        """The plain bytes of a token that one of the keys made and that is not too old."""
        return self.open_by(self._fernets[0], token, wall)[1]

    def seal_with(self, fernet: Fernet, plain: bytes, wall: float) -> bytes:
        """The same with one of the keys; with the first if that one is gone."""
        return (fernet if fernet in self._fernets else self._fernets[0]).encrypt_at_time(plain, int(wall))

    def open_by(self, likely: Fernet, token: bytes, wall: float) -> tuple[Fernet, bytes]:
        """The same, and which key it was; ``likely`` is tried first."""
        first = self._fernets[0]
        for fernet in self._fernets if likely is first else sorted(self._fernets, key=lambda one: one is not likely):
            try:
                plain = fernet.decrypt(token)
            except InvalidToken:
                continue
            if self.max_age_s:
                self._check_age(fernet.extract_timestamp(token), wall)
            return fernet, plain
        for gone in self.retired:
            if gone.made(token):
                raise ProtocolError(
                    f"the peer seals with a cluster key that was rotated out {gone.since}", WINDOW_SETTING
                ).coded(Code.KEY_ROTATED_OUT)
        raise ProtocolError("a payload does not open: the cluster keys differ, or it was damaged").coded(
            Code.KEYS_DIFFER
        )

    def _check_age(self, stamped: int, wall: float) -> None:
        age = wall - stamped
        if age > self.max_age_s:
            reason = f"a token is {age:.0f} s old, {self.max_age_s:.0f} s are allowed: compare the clocks"
            raise ProtocolError(reason, AGE_SETTING).coded(Code.CLOCKS_APART)
        if age < -_CLOCK_SKEW_S:
            raise ProtocolError(
                f"a token is {-age:.0f} s ahead of this node's clock: compare the clocks", AGE_SETTING
            ).coded(Code.CLOCKS_APART)


class LinkSeal:
    """The seal of one link over a ring: it answers in the key in which the peer spoke last."""

    def __init__(self, ring: KeyRing, first: Fernet) -> None:
        self._ring = ring
        self._fernet = first

    def seal(self, plain: bytes, wall: float) -> bytes:
        """A token of ``plain``."""
        return self._ring.seal_with(self._fernet, plain, wall)

    def open(self, token: bytes, wall: float) -> bytes:
        """The plain bytes of ``token``; see :meth:`KeyRing.open`."""
        self._fernet, plain = self._ring.open_by(self._fernet, token, wall)
        return plain


class NothingClear:
    """No payload at all: for links that begin with TLS, on which nothing outside it may be said or heard."""

    def seal(self, plain: bytes, wall: float) -> bytes:
        """Refuse: :class:`ProtocolError`."""
        del plain, wall
        raise ProtocolError("nothing may be said before TLS (link.tls = required), and this node cannot make it")

    def open(self, token: bytes, wall: float) -> bytes:
        """Refuse: :class:`ProtocolError`."""
        del token, wall
        raise ProtocolError("something came before TLS, and this node takes nothing but that (link.tls = required)")
