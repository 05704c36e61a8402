"""How far the rotation of the cluster key has come, in ``<home>/.outrider/rotation.json`` of a master, mode 600.

No key is in it: keys are told by their ids, and of one that was rotated out the half that signs is kept, so that
whoever still uses it can be told so (:class:`outrider.protocol.seal.Retired`). Call everything in a thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from outrider.errors import DamagedError, StoreError
from outrider.protocol.shallow import shallow
from outrider.store.whole import write_whole

_FILE: Final = Path(".outrider/rotation.json")
MOST_GONE: Final = 8
"""Keys that were rotated out and are still known; what is older is a stranger's."""

Phase = Literal["adding", "sealing", "window", "dropping", "done"]


class Gone(Struct, frozen=True, kw_only=True):
    """A key that was rotated out: its id, the half that signs, in hex, and since when, in Unix seconds."""

    id: str
    signs: str
    since: float


class Rotation(Struct, frozen=True, kw_only=True):
    """The last rotation.

    ``new`` and ``old`` are ids of keys, times are Unix seconds. ``anyway``: peers that cannot learn the new key do not
    hold it up. ``until`` is the end of the window, once it has begun.
    """

    phase: Phase
    new: str
    old: tuple[str, ...]
    began: float
    window_s: float
    anyway: bool = False
    until: float = 0.0
    gone: tuple[Gone, ...] = ()


_read = shallow(msgspec.json.Decoder(Rotation).decode)


def read_rotation(home: Path) -> Rotation | None:
    """The last rotation, if there was one; :class:`StoreError` if the file cannot be read."""
    file = home / _FILE
    try:
        return _read(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}", error.errno, str(file)) from error
    except ValueError as error:  # msgspec's are ValueErrors
        raise DamagedError(f"{file} is damaged ({error}): remove it, and rotate the key once more") from error


def write_rotation(home: Path, rotation: Rotation) -> None:
    """Keep it, durably; :class:`StoreError` if that cannot be."""
    file = home / _FILE
    try:
        write_whole(file, msgspec.json.encode(rotation) + b"\n", 0o600)
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror}", error.errno, str(file)) from error
