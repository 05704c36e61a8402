"""How large a container may be: one adaptive limit for each worker (specification 4.3)."""

from __future__ import annotations

_FAST_SHARE = 0.8
"""A send that took less than this share of the receiver's time allows a larger one next."""


class SizeLimit:
    """Shrinks when the receiver ran out of time, grows again when a send was quick."""

    def __init__(self, *, most: int, least: int, tolerance: float, receiver_timeout_s: float) -> None:
        self.bytes = most
        self._most = most
        self._least = least
        self._keep = 1 - tolerance
        self._quick_s = receiver_timeout_s * _FAST_SHARE

    def sent(self, size: int, seconds: float, *, cancelled: bool) -> None:
        """Learn from one send of ``size`` bytes."""
        if cancelled:
            self.bytes = max(self._least, int(size * self._keep))
        elif self.bytes < self._most and seconds < self._quick_s:
            self.bytes = min(self._most, int(self.bytes / self._keep))
