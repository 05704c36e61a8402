"""The settings of a node that runs: one frozen value after another.

A :class:`Live` is what whoever lives longer than a moment holds; it reads ``now`` when it needs a setting and keeps no
copy, so that the next look sees what was changed meanwhile. Nothing here decides what may change: see
:mod:`outrider.settings.reload`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from outrider.settings.load import Settings

_log = logging.getLogger("outrider.settings")


class Live:
    """See the module. ``now`` are the settings of this moment."""

    def __init__(self, settings: Settings) -> None:
        self._now = settings
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def now(self) -> Settings:
        """The settings of this moment; a value that never changes."""
        return self._now

    def take(self, settings: Settings) -> None:
        """From now on these are the settings: listeners hear of it, and pauses are measured anew.

        A listener that raises is named in the log and keeps no other from hearing it.
        """
        self._now = settings
        for listener in self._listeners:
            try:
                listener()
            except Exception:  # noqa: BLE001  (a host may listen, and fail in any way)
                _log.exception("%r failed at other settings", listener)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def when_changed(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change, for as long as this lives; it must not block."""
        self._listeners.append(listener)

    async def change(self) -> None:
        """Wait until the settings are others."""
        await self._changed.wait()
