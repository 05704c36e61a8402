"""Small files that are whole at every moment: a new version takes the place of the old one in one step."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Put ``content`` at ``path``, durably; whoever reads meanwhile, or after a crash, finds the old or the new file.

    The new file belongs to whom the old one did, or the folder does, where the system lets us.
    :class:`OSError` as the system raises it; the old file stands then. Call it in a thread.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # nobody else can read it from the start
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            _keep_owner(handle, path)
            file.write(content)
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _keep_owner(handle: int, path: Path) -> None:
    """A command that root gives must not shut the node out."""
    owner = (path if path.exists() else path.parent).stat()
    with contextlib.suppress(PermissionError):
        os.fchown(handle, owner.st_uid, owner.st_gid)
