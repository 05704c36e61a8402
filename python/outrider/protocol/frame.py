"""Frames: 20 bytes of header and a payload (specification 1.1, 1.4).

A :class:`FrameReader` takes bytes cut anywhere and gives whole frames. It holds what has arrived
and never reserves what a header promises; a header that promises more than ``limit`` ends the
stream at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from outrider.errors import ProtocolError

HEADER = struct.Struct("!2I12s")
NAME_BYTES = 11
REQUEST_CHUNK = 5 * 1024 * 1024
"""Largest plain payload that travels undivided, and largest part of a divided one, header included."""
_PART_BYTES = REQUEST_CHUNK - HEADER.size
_HANDSHAKE, _VERSION_AT, _VERSION = b"\x16", 9, 3
_MORE = b"d"
_LAST = b"-"


class Frame(Struct, frozen=True):
    """One frame as received; ``divided`` marks a part that is not the last of its message."""

    counter: int
    name: bytes
    divided: bool
    payload: bytes


def pack_frame(counter: int, name: bytes, payload: bytes, flag: bytes = b"") -> bytes:
    """Header and payload in one buffer, since an old receiver loses step when they arrive apart (1.5).

    ``name`` has 1 to 11 bytes (:class:`ValueError` otherwise: our own mistake). ``flag``, one byte of a
    divided message, overwrites the last byte of the command field, also the space of an 11-byte name.
    """
    return HEADER.pack(counter, len(payload), _field(name, flag)) + payload


def pack_message(counter: int, name: bytes, sealed: bytes, plain_size: int, part_bytes: int = _PART_BYTES) -> bytes:
    """A whole message: one frame, or parts of ``part_bytes`` if its *plain* size is over the limit (1.4)."""
    if plain_size <= REQUEST_CHUNK and part_bytes == _PART_BYTES:
        return HEADER.pack(counter, len(sealed), _field(name, b"")) + sealed
    parts = [sealed[cut : cut + part_bytes] for cut in range(0, len(sealed), part_bytes)] or [b""]
    last = parts.pop()
    return b"".join(pack_frame(counter, name, part, _MORE) for part in parts) + pack_frame(counter, name, last, _LAST)


def opens_tls(start: bytes) -> bool | None:
    """Whether a stream that starts so is TLS (RFC 8446, 5.1) and carries no frames; ``None`` while that cannot be told.

    A counter may begin with the byte that a TLS handshake begins with. But the tenth byte of a frame belongs to the
    name of its command, where a client's greeting has the first byte of a version, which is 3.
    """
    if start[:1] != _HANDSHAKE[:1]:
        return False if start else None
    return None if len(start) <= _VERSION_AT else start[_VERSION_AT] == _VERSION


class FrameReader:
    """Feeds on any bytes, gives whole frames.

    ``limit`` is the largest payload accepted, ``setting`` the name of where that was set; both may change.
    """

    def __init__(self, limit: int, setting: str = "limits.frame_bytes") -> None:
        self.limit = limit
        self.setting = setting
        self._held = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes held of a frame that is not complete."""
        return len(self._held)

    def clear(self) -> None:
        """Forget what was held."""
        self._held.clear()

    def feed(self, data: bytes | memoryview) -> Iterator[Frame]:
        """Take ``data``; yield each frame that it completes. :class:`ProtocolError` for one over the limit."""
        rest = memoryview(data)
        if self._held:
            begun, rest = self._complete(rest)
            if begun is None:
                return
            yield begun
        at, end = 0, len(rest)
        while end - at >= HEADER.size:
            counter, length, field = HEADER.unpack_from(rest, at)
            if length > self.limit:
                raise self._too_large(length)
            start = at + HEADER.size
            if end - start < length:
                break
            at = start + length
            name, divided = _read_field(field)
            yield Frame(counter, name, divided, rest[start:at].tobytes())
        self._held += rest[at:]

    def _complete(self, rest: memoryview) -> tuple[Frame | None, memoryview]:
        """The frame of which a part is held, if ``rest`` brings all of it, and what lies behind it."""
        rest = self._hold(rest, HEADER.size)
        if len(self._held) < HEADER.size:
            return None, rest
        counter, length, field = HEADER.unpack_from(self._held)
        if length > self.limit:
            raise self._too_large(length)
        rest = self._hold(rest, HEADER.size + length)
        if len(self._held) < HEADER.size + length:
            return None, rest
        name, divided = _read_field(field)
        frame = Frame(counter, name, divided, memoryview(self._held)[HEADER.size :].tobytes())
        self._held.clear()
        return frame, rest

    def _too_large(self, length: int) -> ProtocolError:
        return ProtocolError(f"a frame declares {length} bytes; the limit here is {self.limit}", self.setting)

    def _hold(self, rest: memoryview, size: int) -> memoryview:
        """Move bytes from the front of ``rest`` until ``size`` are held or none are left; return the others."""
        missing = max(size - len(self._held), 0)
        self._held += rest[:missing]
        return rest[missing:]


@lru_cache(maxsize=256)
def _field(name: bytes, flag: bytes) -> bytes:
    if not 0 < len(name) <= NAME_BYTES:
        raise ValueError(f"a command name has 1 to {NAME_BYTES} bytes, this has {len(name)}: {name!r}")
    field = (name + b" ").ljust(HEADER.size - 8, b"-")
    return field[: len(field) - len(flag)] + flag


@lru_cache(maxsize=256)
def _read_field(field: bytes) -> tuple[bytes, bool]:
    """What stands before the first space of the first 11 bytes, and the flag; the rest is never checked (1.1)."""
    return field[:NAME_BYTES].split(b" ", 1)[0], field[-1:] == _MORE
