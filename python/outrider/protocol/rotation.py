"""What two nodes of ours say when the cluster key is rotated, as JSON; and what becomes of a ring of keys then.

The worker says how it stands (:class:`Standing`) and does what the master answers (:class:`Order`) until that is
nothing. A key travels inside TLS alone: who serves these bodies refuses them on a base link.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from outrider.protocol.shallow import shallow
from outrider.settings.key import ClusterKey, key_id

Step = Literal["add", "seal", "drop"]
"""What is to be done: know the new key, seal with it, forget the old ones. Each includes those before it."""

_Id = Annotated[str, Meta(max_length=64)]
MOST_WORDS: Final = 512
"""Characters of why a worker can hold no other key."""
_Word = Annotated[str, Meta(max_length=MOST_WORDS)]
_MOST_KEYS: Final = 64


class Standing(Struct, frozen=True, kw_only=True):
    """The ids of the keys that a worker holds, the one that it seals with first, and why it can hold no other."""

    holds: Annotated[tuple[_Id, ...], Meta(max_length=_MOST_KEYS)]
    cannot: _Word = ""


class Order(Struct, frozen=True, kw_only=True):
    """The step, the new key as text, and the ids of the keys that it replaces."""

    step: Step
    new: Annotated[str, Meta(max_length=64)]
    old: Annotated[tuple[_Id, ...], Meta(max_length=_MOST_KEYS)]

    def key(self) -> ClusterKey:
        """The new key; :class:`ValueError` if it is none."""
        return ClusterKey(self.new)

    def of(self, ring: Sequence[ClusterKey]) -> list[ClusterKey]:
        """What a ring is after this. Keys that the rotation does not know, of a person's own, stay where they are."""
        new = self.key()
        after = [*ring, new] if new not in ring else list(ring)
        if self.step != "add" and key_id(after[0]) in self.old:
            after = [new, *(key for key in after if key != new)]
        if self.step == "drop":
            after = [key for key in after if key == new or key_id(key) not in self.old]
        return after


def satisfied(step: Step, new: str, old: Sequence[str], holds: Sequence[str]) -> bool:
    """Whether who holds the keys with these ids, in this order, has done a step; ``new`` and ``old`` are ids too."""
    if new not in holds:
        return False
    if step == "add":
        return True
    return holds[0] not in old and (step == "seal" or not set(old) & set(holds))


def encode(body: Standing | Order) -> bytes:
    """As JSON."""
    return msgspec.json.encode(body)


def decode_standing(payload: bytes) -> Standing:
    """Read a standing; :class:`ValueError` if it is none (msgspec's error is one)."""
    return _read_standing(payload)


def decode_order(payload: bytes) -> Order | None:
    """Read an order; ``None``: nothing is to be done. :class:`ValueError` if it is none."""
    return _read_order(payload) if payload else None


_read_standing = shallow(msgspec.json.Decoder(Standing).decode)
_read_order = shallow(msgspec.json.Decoder(Order).decode)
