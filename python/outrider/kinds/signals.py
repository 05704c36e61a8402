"""Tells whoever listens that something has happened on this node, without knowing who listens."""

from __future__ import annotations

import logging
from collections.abc import Callable

_log = logging.getLogger("outrider.kinds")


class Signal:
    """One thing that happens again and again. Listeners are called at once, in the order in which they came."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def connect(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` from now on; it must not block."""
        self._listeners.append(listener)

    def emit(self) -> None:
        """It has happened. A listener that raises is named in the log and keeps no other from hearing it."""
        for listener in self._listeners:
            try:
                listener()
            except Exception:  # noqa: BLE001  (a package may listen, and fail in any way)
                _log.exception("%r failed at a signal", listener)
