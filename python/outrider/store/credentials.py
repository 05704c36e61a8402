"""What a node shows and whom it trusts, as its files say it now; read again when one of them has changed.

Where the node holds the cluster's authority (``ca.folder``), whom it trusts stands there; else in its own
``identity/trust.pem``. Every method touches the disk: call it in a thread.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from outrider.codes import Code
from outrider.errors import StoreError
from outrider.ports import Identity
from outrider.protocol.certificates import Holder, Trust
from outrider.settings.key_file import read_plain
from outrider.store import authority
from outrider.store.identity import NODE, TRUST, identity_of
from outrider.store.ledger import MOST_BYTES

Stamp = tuple[int, ...]


class Shown(NamedTuple):
    """One state of the files.

    ``trust`` and its file are ``None`` where the node knows no authority; ``holder`` where its own certificate is
    not of one.
    """

    identity: Identity
    trust: Trust | None
    file: Path | None
    holder: Holder | None


class CredentialFiles:
    """The files of the node at ``home``; ``folder`` is where the authority would be, ``seed`` as in ``identity_of``."""

    def __init__(self, home: Path, folder: Path, seed: bytes) -> None:
        self._home = home
        self._seed = seed
        self._stamps: tuple[Stamp, ...] | None = None
        # Looked at every two seconds as long as the node lives: the paths are not made anew each time.
        self._node_path = str(home / NODE)
        self._trusts = [(file, str(file)) for file in (folder / authority.TRUST, home / TRUST)]

    def read(self) -> Shown | None:
        """What the files say; ``None`` if they are those of the last look.

        :class:`StoreError` if what one holds is damaged, once for each state of the files; or if one cannot be read,
        until it can: the list of who is revoked must not be missed since this process had no descriptor left.
        """
        file, trusted = self._trust_file()
        stamps = _stamp(self._node_path), trusted
        if stamps == self._stamps:
            return None
        self._stamps = stamps
        try:
            return self._read(file)
        except StoreError as error:
            if isinstance(error.__cause__, OSError):
                self._stamps = None
            raise

    def _read(self, file: Path) -> Shown:
        identity = identity_of(self._home, self._seed)
        self._stamps = _stamp(self._node_path), _stamp(file)
        try:
            trust = Trust(read_plain(file, MOST_BYTES)[0].decode())
        except FileNotFoundError:
            return Shown(identity, None, None, None)
        except OSError as error:
            raise StoreError(f"cannot read {file}: {error.strerror}", error.errno, str(file)).coded(
                Code.IDENTITY_FILE
            ) from error
        except ValueError as error:
            remedy = "`outrider join` makes it anew" if file == self._home / TRUST else "restore it from a copy"
            raise StoreError(f"{file} is damaged: {error}; {remedy}").coded(Code.IDENTITY_FILE) from error
        return Shown(identity, trust, file, trust.holder(identity.certificate.encode()))

    def _trust_file(self) -> tuple[Path, Stamp]:
        """That of the authority where it is held here, else this node's own; and how it is now."""
        (held, held_path), (own, own_path) = self._trusts
        stamp = _stamp(held_path)
        return (held, stamp) if stamp else (own, _stamp(own_path))


def _stamp(file: str | Path) -> Stamp:
    try:
        found = os.stat(file)  # noqa: PTH116  (half the time of a Path's)
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
