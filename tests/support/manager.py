"""A stand-in for systemd at the other end of ``NOTIFY_SOCKET``: a real socket, and what systemd would read off it."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path
from typing import Self

_PATIENCE_S = 30.0


class Manager:
    """See the module. Use it with ``with``; ``environment`` is what its service finds there."""

    def __init__(self, folder: Path, *, abstract: bool = False, watchdog_s: float | None = None) -> None:
        name = f"outrider-test-{uuid.uuid4()}"
        self._file = None if abstract else folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{name}" if self._file is None else str(self._file))
        self._socket.settimeout(_PATIENCE_S)
        self.environment = {"NOTIFY_SOCKET": f"@{name}" if self._file is None else str(self._file)}
        if watchdog_s is not None:
            self.environment["WATCHDOG_USEC"] = str(int(watchdog_s * 1_000_000))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def next(self) -> dict[str, str]:
        """The next words, each with its value; it is waited for."""
        lines = self._socket.recv(65_536).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def until(self, word: str) -> list[dict[str, str]]:
        """Everything up to the words with ``word`` among them."""
        heard = [self.next()]
        while word not in heard[-1]:
            heard.append(self.next())
        return heard

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(65_536)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(_PATIENCE_S)
        return False

    def forget(self) -> None:
        """Read what lies there already."""
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.recv(65_536)
        except BlockingIOError:
            self._socket.settimeout(_PATIENCE_S)
