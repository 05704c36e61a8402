"""What a node can do beyond the base protocol: the probe of specification 7.4 and its answer, as JSON.

Both ends say the same things of themselves. Fields that this version does not know are ignored, and
two nodes work together where their ranges of protocol numbers overlap, so that neighbouring versions
understand each other. Nothing here is trusted further than the cluster key that sealed it.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from outrider.protocol.shallow import shallow

TLS: Final = "tls"
"""The feature that all others stand on: without it a link stays with the base protocol."""

_Number = Annotated[int, Meta(ge=1, le=2**31)]
_Word = Annotated[str, Meta(max_length=128)]


class Range(Struct, frozen=True):
    """The numbers of the extended protocol that a node speaks, both included."""

    least: _Number
    most: _Number

    def highest_common(self, other: Range) -> int | None:
        """The number that two nodes use together, if there is one."""
        number = min(self.most, other.most)
        return number if number >= max(self.least, other.least) else None


PROTOCOL: Final = Range(1, 1)


class Abilities(Struct, frozen=True, kw_only=True):
    """What one end says of itself; ``certificate`` is PEM text of the one certificate that it shows in TLS."""

    protocol: Range
    version: _Word
    node: _Word
    features: Annotated[tuple[_Word, ...], Meta(max_length=64)] = ()
    certificate: Annotated[str, Meta(max_length=16 * 1024)] = ""

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, payload: bytes) -> Abilities:
        """Read what a peer says; :class:`ValueError` if it is not that (msgspec's error is one)."""
        return _read(payload)


class Agreement(Struct, frozen=True, kw_only=True):
    """What two ends do together: a protocol number, and the features that both have."""

    number: int
    features: frozenset[str]


def agree(ours: Abilities, theirs: Abilities) -> Agreement | None:
    """What both can do, or ``None`` where the base protocol is all that they share."""
    number = ours.protocol.highest_common(theirs.protocol)
    features = frozenset(ours.features) & frozenset(theirs.features)
    if number is None or TLS not in features:
        return None
    return Agreement(number=number, features=features)


_read = shallow(msgspec.json.Decoder(Abilities).decode)
