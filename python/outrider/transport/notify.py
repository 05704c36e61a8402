"""Words to the service manager that started this process: sd_notify(3), datagrams to the socket in ``NOTIFY_SOCKET``.

What cannot be told is lost: no node fails, or waits, since nobody listens to how it is.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final, Self

_SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_WATCHED: Final = "WATCHDOG_PID"


class ServiceManager:
    """See the module. ``beat_s``: seconds between two signs of life that it wants, ``None`` if it wants none.

    That is half of what it waits, so that one of them may be late.
    """

    def __init__(self, address: str, beat_s: float | None = None) -> None:
        self.beat_s = beat_s
        # A name that begins with @ lies in no folder: its first byte is a zero.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self | None:
        """Whoever is to be told, by the variables of a process; ``None`` where nobody is."""
        address = environ.get(_SOCKET, "")
        return cls(address, _beat_s(environ)) if address.startswith(("/", "@")) else None

    def tell(self, **words: object) -> None:
        """Tell all of these at once: ``READY=1``, ``STATUS="..."``; a text is cut at its first line's end."""
        lines = (f"{word}={str(value).partition(chr(10))[0]}" for word, value in words.items())
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        """Nothing more is told."""
        self._socket.close()


def _beat_s(environ: Mapping[str, str]) -> float | None:
    """Half of the watchdog's time, if this very process is watched."""
    waits, process = environ.get(_WATCHDOG, ""), environ.get(_WATCHED)
    if not waits.isdecimal() or not int(waits) or process not in {None, str(os.getpid())}:
        return None
    return int(waits) / 2_000_000
