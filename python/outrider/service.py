"""A node as a service: what systemd hears of it, and what its signals ask for.

``outrider worker`` and ``outrider master`` use this; a program that embeds a node does if it wants to, and nothing here
runs by itself. Signs of life come from the event loop: a loop that hangs is started anew, a thread that is busy is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final, Protocol

from outrider.errors import SettingsError
from outrider.settings import Reloaded
from outrider.transport.notify import ServiceManager

_LOOK_S: Final = 5.0
"""How often the status is looked at where no sign of life is due earlier."""


class Node(Protocol):
    """What both roles can do."""

    started: asyncio.Event

    async def run(self) -> None:
        """Run until :meth:`stop`."""
        ...

    async def stop(self) -> None:
        """End all tasks in good order, then close."""
        ...

    async def reload(self) -> Reloaded:
        """Load the settings again; :class:`SettingsError` if they are not valid."""
        ...

    def state(self) -> str:
        """How it is, in a line."""
        ...


class Service:
    """One node, and whoever manages it; without a ``manager`` nothing is told."""

    def __init__(self, node: Node, manager: ServiceManager | None) -> None:
        self._node = node
        self._manager = manager
        self._told = ""

    async def accompany(self) -> None:
        """Say that the node serves, how it is, and that its loop turns; until cancelled."""
        if self._manager is None:
            return
        beats = asyncio.create_task(self._beat(self._manager))
        try:
            await self._node.started.wait()
            self._manager.tell(READY=1, STATUS=self._status())
            await beats
        finally:
            beats.cancel()
            await asyncio.gather(beats, return_exceptions=True)

    async def reload(self) -> None:
        """Load the settings again, as a signal asks; whether they are valid is told by the node's log and status."""
        if self._manager is not None:
            self._manager.tell(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
        with contextlib.suppress(SettingsError):
            await self._node.reload()
        if self._manager is not None:
            self._manager.tell(READY=1, STATUS=self._status())

    def stopping(self) -> None:
        """The node begins to end."""
        if self._manager is not None:
            self._manager.tell(STOPPING=1, STATUS="stopping")

    def close(self) -> None:
        """Nothing more is told."""
        if self._manager is not None:
            self._manager.close()

    async def _beat(self, manager: ServiceManager) -> None:
        every_s = _LOOK_S if manager.beat_s is None else min(manager.beat_s, _LOOK_S)
        while True:
            if manager.beat_s is not None:
                manager.tell(WATCHDOG=1)
            if self._node.started.is_set() and self._node.state() != self._told:
                manager.tell(STATUS=self._status())
            await asyncio.sleep(every_s)

    def _status(self) -> str:
        self._told = self._node.state()
        return self._told
