"""Strings that arrive in parts (specification 2.1, 3.4).

Memory grows with what arrives, not with what ``new_str`` declares. A string is whole when as many
bytes came as were declared: the base protocol has no other end mark, and an old sender ignores a
lost part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from random import Random
from typing import Protocol

from outrider.errors import Refusal
from outrider.printable import counted
from outrider.protocol import faults
from outrider.status import unheard

PART_BYTES = 256 * 1024
"""Size of the parts in which we send files and strings: small enough to interleave, large enough to be cheap."""


@dataclass(slots=True)
class _Arriving:
    """What came of one string; a buffer that hands over what it holds without a copy of it, which may be large."""

    total: int
    parts: BytesIO = field(default_factory=BytesIO)

    @property
    def size(self) -> int:
        return self.parts.tell()


class StringLimits(Protocol):
    """So many open at once, so many bytes each, so many bytes of all together."""

    @property
    def open_strings(self) -> int:
        """How many may be open."""
        ...

    @property
    def string_bytes(self) -> int:
        """Bytes of one."""
        ...

    @property
    def strings_total(self) -> int:
        """Bytes of all."""
        ...


class Strings:
    """The strings of one connection, by id. ``limits`` are asked for with each step.

    ``hit`` is told of the setting that a refused string ran into.
    """

    def __init__(
        self, random: Random, limits: Callable[[], StringLimits], *, hit: Callable[[str], None] = unheard
    ) -> None:
        self._random = random
        self._hit = hit
        self._limits = limits
        self._open: dict[bytes, _Arriving] = {}
        self._held = 0

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def held(self) -> int:
        """Bytes held of all of them."""
        return self._held

    def begin(self, total_text: bytes) -> bytes:
        """Open a string of a declared size, return its id. :class:`Refusal` over a limit."""
        total, limits = int(total_text), self._limits()
        if not 0 <= total <= limits.string_bytes:
            what = f"a string of {total} bytes is over the limit of {limits.string_bytes}"
            raise self._over("limits.string_bytes", what)
        if len(self._open) >= limits.open_strings:
            raise self._over(
                "limits.open_strings", f"{counted(limits.open_strings, 'string')} open already, which is the limit"
            )
        name = self._fresh_id()
        self._open[name] = _Arriving(total)
        return name

    def extend(self, name: bytes, data: bytes | memoryview) -> None:
        """Take a part; what goes beyond the declared size is dropped, as the original does."""
        string = self._open.get(name)
        if string is None:
            raise Refusal(faults.INTERNAL, repr(name))
        room = string.total - string.size
        taken = min(room, len(data))
        if self._held + taken > (most := self._limits().strings_total):
            what = f"the open strings hold {most} bytes, which is the limit"
            raise self._over("limits.strings_total", what)
        self._held += taken
        string.parts.write(data[:room])

    def drop_unused(self, total_text: bytes) -> bytes | None:
        """Drop the first string of this size that got nothing yet (``err_str``); its id, or ``None``."""
        total = int(total_text)
        for name, string in self._open.items():
            if string.total == total and not string.size:
                del self._open[name]
                return name
        return None

    def take(self, name: bytes) -> bytes | None:
        """Remove a string and return it; ``None`` if it is unknown or parts of it are missing."""
        string = self._open.pop(name, None)
        if string is None:
            return None
        self._held -= string.size
        if string.size < string.total:
            return None
        return string.parts.getvalue()

    def _over(self, setting: str, what: str) -> Refusal:
        self._hit(setting)
        return Refusal(faults.INTERNAL, f"{what} ({setting})")

    def _fresh_id(self) -> bytes:
        while True:
            name = str(self._random.getrandbits(32)).encode()
            if name not in self._open:
                return name
