"""What a node shows and whom it trusts, as its files say it now; read again when one of them has changed.

Where the node holds the cluster's authority (``ca.folder``), whom it trusts stands there; else in its own
``identity/trust.pem``. Every method touches the disk: call it in a thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from outrider.codes import Code
from outrider.errors import StoreError
from outrider.ports import Identity
from outrider.protocol.certificates import Holder, Trust
from outrider.store import authority
from outrider.store.identity import NODE, TRUST, identity_of

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
        self._folder = folder
        self._seed = seed
        self._stamps: tuple[Stamp, ...] | None = None

    def read(self) -> Shown | None:
        """What the files say; ``None`` if they are those of the last look.

        :class:`StoreError` if one cannot be read, or what it holds is damaged: once for each state of the files.
        """
        file = self._trust_file()
        stamps = tuple(_stamp(one) for one in (self._home / NODE, file))
        if stamps == self._stamps:
            return None
        self._stamps = stamps
        identity = identity_of(self._home, self._seed)
        self._stamps = tuple(_stamp(one) for one in (self._home / NODE, file))
        try:
            trust = Trust(file.read_text("utf-8"))
        except FileNotFoundError:
            return Shown(identity, None, None, None)
        except OSError as error:
            raise StoreError(f"cannot read {file}: {error.strerror}").coded(Code.IDENTITY_FILE) from error
        except ValueError as error:
            remedy = "`outrider join` makes it anew" if file == self._home / TRUST else "restore it from a copy"
            raise StoreError(f"{file} is damaged: {error}; {remedy}").coded(Code.IDENTITY_FILE) from error
        return Shown(identity, trust, file, trust.holder(identity.certificate.encode()))

    def _trust_file(self) -> Path:
        own = self._folder / authority.TRUST
        return own if own.exists() else self._home / TRUST


def _stamp(file: Path) -> Stamp:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
