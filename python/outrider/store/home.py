"""The folder a node lives in: one node at a time, and the place where transfers lie (specification 3.5)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from outrider.codes import Code
from outrider.errors import SettingsError, StoreError

_TRANSFERS = Path("queue/cluster")
FOLDER_MODE = 0o770


class Home:
    """See the module. Every method touches the disk: call it in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._transfers = self.path / _TRANSFERS
        self._lock: int | None = None

    def open(self) -> None:
        """Take the home for this process and empty the transfers of an earlier run.

        :class:`SettingsError` if the folder is absent or another node runs on it.
        """
        if not self.path.is_dir():
            raise SettingsError(
                f"node.home: {self.path} is not a folder; create it, or name another, e.g. /var/ossec"
            ).coded(Code.HOME)
        state = self.path / ".outrider"
        with _store_error("prepare", state):
            state.mkdir(mode=FOLDER_MODE, exist_ok=True)
            self._transfers.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self._lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise SettingsError(
                f"node.home: another node runs on {self.path}; stop it, or give this one a home of its own"
            ).coded(Code.HOME_TAKEN) from None
        try:
            with _store_error("empty", self._transfers):
                for left in self._transfers.iterdir():
                    if not left.is_socket():
                        remove(left)
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """Give the home back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def open_transfers(self, worker: str) -> Path:
        """Make the folder for what is sent to and received from ``worker``."""
        folder = self.transfers(worker)
        with _store_error("make", folder):
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        return folder

    def transfers(self, worker: str) -> Path:
        """The folder of ``worker``."""
        return self._transfers / worker


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; what is gone already is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _store_error(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # The system names what it stumbled over, which may lie above or below.
        at = error.filename or path
        reason = f"cannot {action} {at}: {error.strerror}; check what it is, its owner and its mode"
        raise StoreError(reason, error.errno, str(at)) from error
