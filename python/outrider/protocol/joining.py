"""What travels when a node gets a certificate: the token on paper, and the bodies of the commands ``ca_...``.

A token names the authority, so that the joining node needs no trust beforehand: it tells nothing of its secret
before the other end has proved to be a master of that authority. The node's key never travels.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from outrider.protocol.shallow import shallow

SECRET_BYTES: Final = 32
"""256 bits: nobody guesses one, however often he may try."""
_PREFIX: Final = "outrider1."
_Text = Annotated[str, Meta(max_length=48 * 1024)]
_Word = Annotated[str, Meta(max_length=128)]


class Token(Struct, frozen=True, array_like=True):
    """The right to one certificate for the node ``name``.

    ``authorities``: the SHA-256 of each that may vouch for the master that answers, in hex. They are two while the
    authority is being replaced.
    """

    name: _Word
    id: _Word
    secret: _Word
    authorities: Annotated[tuple[_Word, ...], Meta(min_length=1, max_length=8)]

    def encode(self) -> str:
        """One word to copy."""
        return _PREFIX + urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, word: str) -> Token:
        """Read a word; :class:`ValueError` if it is no token."""
        body = word.strip().removeprefix(_PREFIX)
        try:
            return _read_token(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except ValueError as error:  # msgspec's and binascii's are ValueErrors
            raise ValueError("this is no token; `outrider ca token NAME` makes one, copy it whole") from error


_read_token = shallow(msgspec.json.Decoder(Token).decode)


class Join(Struct, frozen=True):
    """A joining node asks for its certificate; ``request`` is a certificate signing request, PEM."""

    id: _Word
    secret: _Word
    request: _Text


class Renewal(Struct, frozen=True):
    """A node whose certificate is good asks for the next one."""

    request: _Text


class Granted(Struct, frozen=True):
    """What it gets: its certificate, and whom to trust; PEM."""

    certificate: _Text
    trust: _Text


class Trusted(Struct, frozen=True):
    """Whom to trust from now on; PEM."""

    trust: _Text


B = TypeVar("B", Join, Renewal, Granted, Trusted)


def decode(payload: bytes, kind: type[B]) -> B:
    """Read one; :class:`ValueError` if it is none (msgspec's error is one)."""
    read: Callable[[bytes], B] = partial(msgspec.json.decode, type=kind)
    return shallow(read)(payload)


def encode(body: Join | Renewal | Granted | Trusted) -> bytes:
    """As JSON."""
    return msgspec.json.encode(body)
