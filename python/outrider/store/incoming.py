"""A file on its way in: written as it comes, hashed as it is written, removed unless it is whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from outrider.codes import Code
from outrider.errors import PeerError, StoreError
from outrider.store.home import FOLDER_MODE


class IncomingFile:
    """One file of a transfer (specification 2.1). Its methods block: they run in threads, in order.

    ``max_bytes`` says how large it may be, and is asked with each part.
    """

    def __init__(self, path: Path, max_bytes: Callable[[], int]) -> None:
        self.path = path
        self.size = 0
        self._max_bytes = max_bytes
        self._sha256 = hashlib.sha256()
        self._file = -1

    def open(self) -> None:
        """Create the file, or begin it anew; a link in its place is refused."""
        self.discard()
        self.size = 0
        self._sha256 = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            # Others empty queue/ at times, the folder included.
            self.path.parent.mkdir(mode=FOLDER_MODE, exist_ok=True, parents=True)
            self._file = os.open(self.path, flags, 0o640)
        except OSError as error:
            raise StoreError(
                f"cannot receive {self.path.name}: {error.strerror}", error.errno, str(self.path)
            ) from error

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``; over the limit or on a full disk the file is given up, and more is the peer's error."""
        if self._file < 0:
            raise PeerError(f"{self.path.name} was given up after an earlier error")
        self.size += len(data)
        if self.size > (most := self._max_bytes()):
            self.discard()
            raise StoreError(f"{self.path.name} is over the limit of {most} bytes (limits.file_bytes)").coded(
                Code.PEER_LIMIT
            )
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            self.discard()
            raise StoreError(f"cannot write {self.path.name}: {error.strerror}", error.errno, str(self.path)) from error
        self._sha256.update(data)

    def finish(self, sha256: bytes) -> bool:
        """Close the file; whether its content has this SHA-256. If not, it is removed."""
        whole = self._file >= 0 and self._sha256.digest() == sha256
        if whole:
            self._close()
        else:
            self.discard()
        return whole

    def discard(self) -> None:
        """Close and remove the file."""
        if self._file >= 0:
            try:
                self._close()
            finally:
                self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        """Give the descriptor up before it is closed: after a failure its number may be another file's."""
        file, self._file = self._file, -1
        os.close(file)
