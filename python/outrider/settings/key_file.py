"""Where the cluster key lies when it stands in no setting: a file of its own, or a credential of systemd.

A file that others may change is refused: whoever writes it decides who is in the cluster. So is one in a folder in
which everybody may put another in its place. One that others may read is a warning and no refusal, since containers
mount their secrets with mode 444 where nobody else lives. The process's own group may read it (mode 640), as is the
custom of this field.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from outrider.settings.key import ClusterKey

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The variable in which systemd names the folder of a service's credentials."""
_MOST_BYTES: Final = 64 * 1024


def credential(name: str, environ: Mapping[str, str]) -> Path | None:
    """The file of a credential that systemd handed to this process; ``None`` if there is none of this name."""
    folder = environ.get(CREDENTIALS)
    path = Path(folder, name) if folder else None
    return path if path is not None and path.is_file() else None


def read_key_file(path: Path) -> list[ClusterKey]:
    """The keys of a key file, one a line, the current first; :class:`ValueError` with the reason."""
    try:
        content, found = read_plain(path)
        if changers := _who_may_change(found):
            raise ValueError(f"{changers} may change it, and so the cluster's key: chmod 600 {path}")
        if opening := open_to_all(path):
            raise ValueError(opening)
        text = content.decode()
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError("it is not text: write the key on its first line") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ValueError("it is empty: write the key on its first line")
    keys = []
    for number, line in lines:
        try:
            keys.append(ClusterKey(line))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return list(dict.fromkeys(keys))


def read_plain(path: Path, most: int = _MOST_BYTES) -> tuple[bytes, os.stat_result]:
    """What a small file holds, and how it is: of one and the same file, whatever becomes of its name meanwhile.

    A pipe could be read once, and nobody knows when: :class:`ValueError`; else :class:`OSError` as the system has it.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(handle, "rb") as file:  # noqa: PTH123  (what is open has no path)
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no plain file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most} bytes")
    return content, found


def exposures(path: Path) -> Iterator[str]:
    """Who besides this process's user, its group and root may read the file, and what to do."""
    found = path.stat()
    if found.st_mode & stat.S_IROTH:
        yield f"every user may read {path}: chmod 600 {path}"
    elif found.st_mode & stat.S_IRGRP and found.st_gid not in _own_groups():
        yield f"the group {found.st_gid} may read {path}, and this process is not in it: chmod 600 {path}"
    if found.st_uid not in (0, os.geteuid()):
        yield f"{path} belongs to {_user(found.st_uid)}, who may change it: chown {_user(os.geteuid())} {path}"


def _who_may_change(found: os.stat_result) -> str | None:
    if found.st_mode & stat.S_IWOTH:
        return "every user"
    if found.st_mode & stat.S_IWGRP and found.st_gid not in _own_groups():
        return f"the group {found.st_gid}"
    return None


def open_to_all(path: Path) -> str | None:
    """How every user of this machine may change what a file says, and what to do; ``None`` if not every user may."""
    if path.stat().st_mode & stat.S_IWOTH:
        return f"every user may change it: chmod o-w {path}"
    if folder := open_folder(path):
        return f"every user may put another in its place: chmod o-w {folder}, or keep it elsewhere"
    return None


def open_folder(path: Path) -> Path | None:
    """The folder on the way to a file in which every user may rename and remove what is not his."""
    here = path.absolute()
    for folder in dict.fromkeys((*here.parents, *here.resolve().parents)):
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return folder
    return None


def _own_groups() -> set[int]:
    return {0, os.getegid(), *os.getgroups()}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
