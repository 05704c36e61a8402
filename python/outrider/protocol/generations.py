"""Bodies of the fast path between two of our own nodes: where a tree stands, and the step that brings it forward.

They travel only over an extended link, as msgpack arrays: short, typed, bounded by the frame that brings them.
A root is the 64 bytes of :attr:`outrider.model.Manifest.root`. What is no body raises :class:`ValueError`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Final

from msgspec import Meta, Struct, msgpack

from outrider.protocol.shallow import shallow

Root = Annotated[bytes, Meta(min_length=64, max_length=64)]
Lineage = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""Which store of generations the numbers belong to: a master that lost its store counts from 1 again."""
Ticket = Annotated[bytes, Meta(min_length=16, max_length=16)]
Number = Annotated[int, Meta(ge=0)]
Words = Annotated[str, Meta(max_length=4096)]

PART_BYTES: Final = 256 * 1024
"""Of a bundle in one answer to ``gen_read``."""
INLINE_BYTES: Final = 64 * 1024
"""A bundle up to this size lies whole in the offer: one round trip for a small change."""


class Standing(Struct, array_like=True, frozen=True):
    """``gen_check``: the root at which a worker stands, and the generation that it took last (0: none)."""

    root: Root
    number: Number


class InStep(Struct, array_like=True, frozen=True, tag=0):
    """The worker stands where the master does."""

    number: Number
    lineage: Lineage


class Offer(Struct, array_like=True, frozen=True, tag=1):
    """The step from where the worker stands; ``data`` begins its bundle, and is all of it if ``whole``.

    ``approved``: somebody has confirmed at the master that this generation may delete many files (threats 31).
    """

    number: Number
    root: Root
    lineage: Lineage
    ticket: Ticket
    data: bytes
    whole: bool
    approved: bool = False


class Unknown(Struct, array_like=True, frozen=True, tag=2):
    """The master does not know that root: the worker is to say what it holds (``gen_have``)."""


class Wanted(Struct, array_like=True, frozen=True, tag=3):
    """Of these files the master wants chunk signatures (``gen_sigs``): large ones that differ."""

    paths: Annotated[tuple[Words, ...], Meta(max_length=65_536)]


class News(Struct, array_like=True, frozen=True, tag=4):
    """``gen_new``, if the step is not small: there is a new generation, ask for it."""

    number: Number


class Read(Struct, array_like=True, frozen=True):
    """``gen_read``: the next part of a bundle."""

    ticket: Ticket
    offset: Number


class Done(Struct, array_like=True, frozen=True):
    """``gen_done``: the worker stands at this generation now, or does not and says why.

    ``counts``: files of the step that were new, changed and deleted there.
    """

    number: Number
    root: Root
    failure: Words = ""
    counts: tuple[Number, Number, Number] = (0, 0, 0)


Answer = InStep | Offer | Unknown | Wanted | News

_standing = msgpack.Decoder(Standing)
_answer = msgpack.Decoder(Answer)
_read = msgpack.Decoder(Read)
_done = msgpack.Decoder(Done)
_encoder = msgpack.Encoder()

encode = _encoder.encode
decode_standing = shallow(_standing.decode)
decode_answer = shallow(_answer.decode)
decode_read = shallow(_read.decode)
decode_done = shallow(_done.decode)


def ticket_of(base: bytes, root: bytes) -> bytes:
    """The name of the step from one root to another: the same at both ends and after a reconnect."""
    return blake2b(base + root, digest_size=16, person=b"outrider.step1").digest()


def encode_part(data: bytes, *, last: bool) -> bytes:
    """An answer to ``gen_read``: whether the bundle ends here, then its bytes.

    A part that is not the last is full, or empty if the master is still packing: ask again.
    """
    return (b"\x01" if last else b"\x00") + data


def decode_part(payload: bytes) -> tuple[memoryview, bool]:
    """The bytes, and whether the bundle ends behind them."""
    if payload[:1] not in (b"\x00", b"\x01") or len(payload) > PART_BYTES + 1:
        raise ValueError("this is no part of a bundle")
    last = payload[0] == 1
    if not last and 1 < len(payload) <= PART_BYTES:
        raise ValueError("a part that is not the last is short")
    return memoryview(payload)[1:], last
