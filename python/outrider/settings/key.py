"""The cluster key: 32 word characters that no text of ours ever shows."""

from __future__ import annotations

import re
import string
from hashlib import sha256
from random import Random

from outrider.printable import counted

KEY_CHARACTERS = 32
HIDDEN = "<hidden>"
# All word characters: 63^32 keys are 191 bits, where 32 hex digits are 128.
ALPHABET = string.ascii_letters + string.digits + "_"


class ClusterKey:
    """A checked key; ``bytes(key)`` gives it to the seal, everything else shows ``<hidden>``."""

    __slots__ = ("_raw",)

    def __init__(self, text: str) -> None:
        """Check ``text``; :class:`ValueError` says what is wrong with it, without repeating it."""
        if len(text) != KEY_CHARACTERS:
            raise ValueError(
                f"it has {counted(len(text), 'character')} where the protocol needs exactly {KEY_CHARACTERS}"
            )
        if not re.fullmatch(r"[A-Za-z0-9_]+", text):
            raise ValueError("only the letters a-z and A-Z, digits and the underscore are allowed in it")
        self._raw = text.encode("ascii")

    def __bytes__(self) -> bytes:
        """The 32 bytes that the seal uses."""
        return self._raw

    def __eq__(self, other: object) -> bool:
        """Keys are equal if their text is."""
        return isinstance(other, ClusterKey) and self._raw == other._raw

    def __hash__(self) -> int:
        """Equal keys have equal hashes."""
        return hash(self._raw)

    def __repr__(self) -> str:
        """Hidden, so that no log, traceback or test output can show it."""
        return HIDDEN

    @property
    def weakness(self) -> str | None:
        """Why the key is weaker than 32 characters could be, if it is."""
        if re.fullmatch(rb"[0-9a-fA-F]+", self._raw):
            return (
                "the key holds hex digits only: 32 of them carry 128 bits, shared by the cipher and the signature, "
                "where 32 of all word characters carry 191; `outrider keygen` makes such a key"
            )
        return None


def make_key(random: Random) -> ClusterKey:
    """A new key of 191 bits, if ``random`` is the system's."""
    return ClusterKey("".join(random.choice(ALPHABET) for _ in range(KEY_CHARACTERS)))


def key_id(key: ClusterKey) -> str:
    """Eight hex digits by which people and nodes tell keys apart; they say nothing else of a key."""
    return sha256(b"outrider cluster key " + bytes(key)).hexdigest()[:8]
