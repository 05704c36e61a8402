"""What an authority has signed, revoked and promised: ``ledger.json`` of its folder.

The file is written before a certificate leaves, so that every certificate there is can be revoked, and a token that
has been used once is used for ever, also after a crash. Secrets of tokens are not in it, only their SHA-256.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from outrider.codes import Code
from outrider.errors import StoreError
from outrider.protocol.certificates import NodeRole
from outrider.protocol.shallow import shallow
from outrider.settings.key_file import read_plain
from outrider.store.whole import write_whole

FILE = "ledger.json"
MOST_BYTES = 64 * 1024 * 1024
"""Of a file of an authority: some hundred thousand certificates."""


class Issued(Struct, frozen=True, kw_only=True):
    """One certificate: serial number and authority (SHA-256) in hex, times in Unix seconds."""

    name: str
    role: NodeRole
    serial: str
    authority: str
    since: float
    until: float
    revoked: float | None = None

    def good(self, now: float) -> bool:
        """Whether it can still be shown."""
        return self.revoked is None and self.until > now


class Promise(Struct, frozen=True, kw_only=True):
    """A token that was given out; ``secret`` is the SHA-256 of its secret, in hex."""

    id: str
    name: str
    secret: str
    until: float
    used: float | None = None

    def good(self, now: float) -> bool:
        """Whether a node can still join with it."""
        return self.used is None and self.until > now


class Ledger(Struct, frozen=True, kw_only=True):
    """The whole; ``number`` counts the lists of revoked certificates, ``drop_at`` is when the old authority goes."""

    issued: tuple[Issued, ...] = ()
    tokens: tuple[Promise, ...] = ()
    number: int = 0
    drop_at: float | None = None

    def holder(self, name: str, now: float) -> Issued | None:
        """The certificate that a node has, if it is good."""
        return next((one for one in reversed(self.issued) if one.name == name and one.good(now)), None)


_read = shallow(msgspec.json.Decoder(Ledger).decode)


def read(folder: Path) -> Ledger:
    """The ledger in ``folder``; :class:`StoreError` if it cannot be read."""
    file = folder / FILE
    try:
        return _read(read_plain(file, MOST_BYTES)[0])
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}").coded(Code.AUTHORITY_FILES) from error
    except ValueError as error:  # msgspec's are ValueErrors
        raise StoreError(f"{file} is damaged ({error}): restore it from a copy").coded(Code.AUTHORITY_FILES) from error


def write(folder: Path, ledger: Ledger) -> None:
    """Keep a ledger, durably; :class:`OSError` as the system raises it."""
    write_whole(folder / FILE, msgspec.json.format(msgspec.json.encode(ledger), indent=1) + b"\n", 0o600)
