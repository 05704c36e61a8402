"""The one folder of a home whose files programs may send to other nodes, and which takes theirs (``send_file``).

Every folder on the way is opened from the one above it, and none of them, nor the file, may be a link: a folder
that becomes one meanwhile is an error, never a way out (threats 25, 26). Everything here blocks: it runs in threads.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from outrider.errors import StoreError
from outrider.protocol.bodies import SharedPath
from outrider.settings import Settings

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not hold us


class SharedFolder:
    """``folder`` of ``home``, with a slash at its end. What arrives has been received whole before it comes here."""

    def __init__(self, home: Path, folder: str) -> None:
        self._home = home
        self._folder = folder

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The folder that ``local.send_folder`` names; ``None`` if it names none."""
        folder = settings.local.send_folder
        return cls(settings.node.home.resolve(), folder) if folder else None

    def holds(self, payload: bytes) -> bool:
        """Whether a path of the wire claims to lie here."""
        return payload.startswith(f"/{self._folder}".encode())

    def path(self, payload: bytes) -> SharedPath:
        """A path of the wire, checked; :class:`Refusal`."""
        return SharedPath.decode(payload, self._folder)

    def open(self, path: SharedPath) -> SharedFile:
        """Open a file to be sent; :class:`StoreError` if it is none, or not there."""
        with _explained("read", path), _beneath(self._home, path.folders) as folder:
            file = os.open(path.name, _FILE, dir_fd=folder)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                raise StoreError(f"cannot read {path}: it is no plain file")
            return SharedFile(file, path)

    def take(self, arrived: Path, path: SharedPath) -> None:
        """Move a file that has come to its place, over what lay there; its folder is there already."""
        with _explained("write", path), _beneath(self._home, path.folders) as folder:
            os.rename(arrived, path.name, dst_dir_fd=folder)


class SharedFile:
    """An open file that is being sent."""

    def __init__(self, file: int, path: SharedPath) -> None:
        self._file = file
        self._path = path

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``; empty at the end."""
        with _explained("read", self._path):
            return os.read(self._file, size)

    def close(self) -> None:
        """Close it."""
        os.close(self._file)


@contextlib.contextmanager
def _beneath(home: Path, folders: Sequence[str]) -> Iterator[int]:
    """A handle of the last of ``folders``, each in the one before it."""
    handle = os.open(home, _FOLDER)
    try:
        for name in folders:
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def _explained(action: str, path: SharedPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot {action} {path}: {error.strerror}") from error
