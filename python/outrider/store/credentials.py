"""What a node shows and whom it trusts, as its files say it now; read again when one of them has changed.

Where the node holds the cluster's authority (``ca.folder``), whom it trusts stands there; else in its own
``identity/trust.pem``. Every method touches the disk: call it in a thread.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from outrider.codes import Code
from outrider.errors import DamagedError, StoreError
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
    """The files of the node at ``home``; ``folder`` is where the authority would be, ``seed`` as in ``identity_of``.

    ``shown`` is what they said when they could be read; ``None`` before the first time.
    """

    def __init__(self, home: Path, folder: Path, seed: bytes) -> None:
        self.shown: Shown | None = None
        self._home = home
        self._seed = seed
        self._stamps: tuple[Stamp, Stamp] | None = None
        self._damage: StoreError | None = None
        # Looked at every two seconds as long as the node lives: the paths are not made anew each time.
        self._node_path = str(home / NODE)
        self._trusts = [(file, str(file)) for file in (folder / authority.TRUST, home / TRUST)]

    def read(self) -> bool:
        """Read what has changed into ``shown``; whether something has.

        :class:`StoreError` as long as a file is damaged, lost or cannot be read. Whom to trust is taken all the same:
        who is revoked must not be missed since the own certificate is damaged, or since no descriptor was left.
        """
        file, trusted = self._trust_file()
        stamps = _stamp(self._node_path), trusted
        if stamps == self._stamps:
            if self._damage is not None:
                raise self._damage.with_traceback(None)
            return False
        self._stamps, self._damage = stamps, None
        try:
            self._read(file)
        except StoreError as error:
            if isinstance(error.__cause__, OSError):
                self._stamps = None
            else:
                self._damage = error
            raise
        if not stamps[0]:  # it was made just now
            self._stamps = _stamp(self._node_path), trusted
        return True

    def _read(self, file: Path) -> None:
        trust = self._trust(file)
        if self.shown is not None:
            self.shown = _shown(self.shown.identity, trust, file)
        self.shown = _shown(self._identity(), trust, file)

    def _identity(self) -> Identity:
        node = self._home / NODE
        with contextlib.suppress(OSError):  # what hinders the look hinders the reading as well, which tells of it
            if self.shown is not None and not node.exists():  # a new one would be a stranger's under this node's name
                remedy = "restore it from a copy, or start this node again: it makes a new one, which peers do not know"
                raise DamagedError(f"{node} is gone: {remedy}").coded(Code.IDENTITY_FILE)
        return identity_of(self._home, self._seed)

    def _trust(self, file: Path) -> Trust | None:
        remedy = "`outrider join` makes it anew" if file == self._home / TRUST else "restore it from a copy"
        try:
            return Trust(read_plain(file, MOST_BYTES)[0].decode())
        except FileNotFoundError as error:
            if self.shown is None or self.shown.trust is None:
                return None
            # Who ran with an authority does not step back to the cluster key because a file was lost.
            what = f"{file} is gone: {remedy}; this node goes by what it said until its next start"
            raise DamagedError(what).coded(Code.IDENTITY_FILE) from error
        except OSError as error:
            raise StoreError(f"cannot read {file}: {error.strerror}", error.errno, str(file)).coded(
                Code.IDENTITY_FILE
            ) from error
        except ValueError as error:
            raise DamagedError(f"{file} is damaged: {error}; {remedy}").coded(Code.IDENTITY_FILE) from error

    def _trust_file(self) -> tuple[Path, Stamp]:
        """That of the authority where it is held here, or was since the start, else this node's own; and how it is."""
        (held, held_path), (own, own_path) = self._trusts
        stamp = _stamp(held_path)
        if stamp or (self.shown is not None and self.shown.file == held):
            return held, stamp
        return own, _stamp(own_path)


def _shown(identity: Identity, trust: Trust | None, file: Path) -> Shown:
    if trust is None:
        return Shown(identity, None, None, None)
    return Shown(identity, trust, file, trust.holder(identity.certificate.encode()))


def _stamp(file: str | Path) -> Stamp:
    try:
        found = os.stat(file)  # noqa: PTH116  (half the time of a Path's)
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
