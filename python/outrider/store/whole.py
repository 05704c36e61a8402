"""Small files that are whole at every moment: a new version takes the place of the old one in one step."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from outrider.codes import Code
from outrider.errors import StoreError

_PATIENCE_S: Final = 10.0
_STEP_S: Final = 0.01


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Put ``content`` at ``path``, durably; whoever reads meanwhile, or after a crash, finds the old or the new file.

    The new file belongs to whom the old one did, or the folder does, where the system lets us. One at a time writes a
    file: what a crash left of an earlier try is removed.
    :class:`OSError` as the system raises it; the old file stands then. Call it in a thread.
    """
    where, folder = str(path), str(path.parent)  # what is done many times a minute makes no paths on the way
    prefix = f".{path.name}.outrider-"
    for left in os.listdir(folder):  # noqa: PTH208  (as above)
        if left.startswith(prefix):
            (path.parent / left).unlink(missing_ok=True)
    handle, fresh = tempfile.mkstemp(prefix=prefix, dir=folder)  # nobody else can read it from the start
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            _keep_owner(handle, where, folder)
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.replace(fresh, where)  # noqa: PTH105  (as above)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """What is new in it, and what took its place there, outlives a power cut."""
    entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)


def make_folder(path: Path, mode: int) -> None:
    """Make ``path`` with what is missing above it, durably; each new folder belongs to whom the one above it does."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=mode, exist_ok=True)
        owner = one.parent.stat()
        with contextlib.suppress(PermissionError):
            os.chown(one, owner.st_uid, owner.st_gid)
        _sync_folder(str(one.parent))


def _keep_owner(handle: int, file: str, folder: str) -> None:
    """A command that root gives must not shut the node out."""
    try:
        owner = os.stat(file)  # noqa: PTH116  (as above)
    except FileNotFoundError:
        owner = os.stat(folder)  # noqa: PTH116  (as above)
    with contextlib.suppress(PermissionError):
        os.fchown(handle, owner.st_uid, owner.st_gid)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process and one thread changes the files of ``folder`` at a time.

    The folder itself is the lock: a file made by whoever comes first might be closed to the other. An apply holds
    ``.outrider`` in the same way, for as long as its bundle takes to come. Everybody who may read a folder can hold it,
    and a command can be stopped while it does: :class:`StoreError` after 10 s, or if it cannot be opened.
    """
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"cannot open {folder}: {error.strerror}") from error
    try:
        _hold(lock, folder)
        yield
    finally:
        os.close(lock)


def _hold(lock: int, folder: Path) -> None:
    """Wait for the lock in short steps, since the system's own wait for it has no end."""
    for _ in range(int(_PATIENCE_S / _STEP_S) + 1):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_STEP_S)
    raise StoreError(
        f"another program has held {folder} locked for {_PATIENCE_S:g} s: `lslocks` names it; let it go on, or end it"
    ).coded(Code.FOLDER_HELD)
