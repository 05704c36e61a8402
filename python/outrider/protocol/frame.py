"""Frames: 20 bytes of header and a payload (specification 1.1, 1.4).

A :class:`FrameReader` takes bytes cut anywhere and gives whole frames. It holds what has arrived
and never reserves what a header promises; a header that promises more than ``limit`` ends the
stream at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from outrider.errors import ProtocolError

HEADER = struct.Struct("!2I12s")
NAME_BYTES = 11
REQUEST_CHUNK = 5 * 1024 * 1024
"""Largest plain payload that travels undivided, and largest part of a divided one, header included."""
_PART_BYTES = REQUEST_CHUNK - HEADER.size
_HANDSHAKE, _VERSION_AT, _VERSION = b"\x16", 9, 3
_MORE = b"d"
_LAST = b"-"


class Frame(NamedTuple):
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
        return pack_frame(counter, name, sealed)
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
        rest = self._hold(memoryview(data), HEADER.size) if self._held else memoryview(data)
        while len(whole := self._held or rest) >= HEADER.size:
            counter, length, field = HEADER.unpack_from(whole)
            if length > self.limit:
                raise ProtocolError(f"a frame declares {length} bytes; the limit here is {self.limit}", self.setting)
            size = HEADER.size + length
            if whole is not rest:
                rest = self._hold(rest, size)
            if len(whole) < size:
                break
            if whole is rest:
                payload = rest[HEADER.size : size].tobytes()
                rest = rest[size:]
            else:
                payload = memoryview(whole)[HEADER.size : size].tobytes()
                self._held.clear()
            yield Frame(counter, _name(field), field[-1:] == _MORE, payload)
        self._held += rest

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
def _name(field: bytes) -> bytes:
    """What stands before the first space of the first 11 bytes; the rest is never checked (1.1)."""
    return field[:NAME_BYTES].split(b" ", 1)[0]
