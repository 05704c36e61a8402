"""Which peers have been seen to speak the extended protocol, in ``<home>/.outrider/peers.json``.

Whoever stands between two nodes could make either look like an old one. A peer that is remembered here is
believed to be an old one only after a person has said so (``outrider peer forget``), also while the node
runs: the file is read again whenever it has changed. A file that cannot be read is an error, never an
empty memory. Every method touches the disk: call it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from outrider.errors import DamagedError, StoreError
from outrider.protocol.shallow import shallow
from outrider.store.whole import alone, write_whole

_FILE = "peers.json"
_MODE = 0o640


class Peer(Struct, frozen=True, kw_only=True):
    """One peer: a master is known by the ``address`` at which it was dialled, a worker by its name.

    ``certificate`` is the SHA-256 of what it showed last, in hex; ``since`` the Unix time of its first
    extended link; ``proof`` what stood behind its certificate: the cluster key, or the cluster's authority.
    """

    type: Literal["master", "worker"]
    name: str
    address: str
    version: str
    certificate: str
    since: float
    proof: Literal["key", "ca"] = "key"

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.type, self.address if self.type == "master" else self.name


class _Peers(Struct, frozen=True):
    peers: tuple[Peer, ...] = ()


_read = shallow(msgspec.json.Decoder(_Peers).decode)


class Peers:
    """The memory of the node at ``home``; several processes may use it at one time."""

    def __init__(self, home: Path) -> None:
        self._folder = home / ".outrider"
        self._file = self._folder / _FILE
        # Not the folder itself: an apply holds that, and one that was cut short waits for the link that is made here.
        self._lock = self._folder.parent
        self._read: tuple[tuple[int, ...], dict[tuple[str, str], Peer]] = ((), {})

    def all(self) -> list[Peer]:
        """Every peer, by type and name; :class:`StoreError` if the file cannot be read."""
        return sorted(self._load().values(), key=lambda peer: (peer.type, peer.name, peer.address))

    @property
    def file(self) -> Path:
        """Where they are kept: a person who forgets one changes it."""
        return self._file

    def master(self, address: str) -> Peer | None:
        """The master that was met at ``address``."""
        return self._load().get(("master", address))

    def worker(self, name: str) -> Peer | None:
        """The worker of this name."""
        return self._load().get(("worker", name))

    def remember(self, peer: Peer) -> Peer | None:
        """Keep ``peer``; what was known of it before. Nothing is written that is known already."""
        with alone(self._lock):
            peers = dict(self._load())
            before = peers.get(peer.key)
            known = peer if before is None else msgspec.structs.replace(peer, since=before.since)
            if known != before:
                peers[peer.key] = known
                self._write(peers.values())
            return before

    def forget(self, word: str) -> list[Peer]:
        """Forget who has this name or address; who that was."""
        if not self._folder.is_dir():
            return []
        with alone(self._lock):
            peers = self._load()
            gone = [peer for peer in peers.values() if word in (peer.name, peer.address)]
            if gone:
                self._write(peer for peer in peers.values() if peer not in gone)
            return gone

    def _load(self) -> dict[tuple[str, str], Peer]:
        """The file's peers; what was read last while nobody has written since."""
        file = self._file
        try:
            found = file.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
            if stamp != self._read[0]:
                peers = _read(file.read_bytes()).peers
                self._read = stamp, {peer.key: peer for peer in peers}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"cannot read {file}: {error.strerror}", error.errno, str(file)) from error
        except ValueError as error:  # msgspec's are ValueErrors
            raise DamagedError(f"{file} is damaged ({error}): remove it, and every peer is a new one") from error
        return self._read[1]

    def _write(self, peers: Iterable[Peer]) -> None:
        text = msgspec.json.format(msgspec.json.encode(_Peers(tuple(peers))), indent=2)
        try:
            write_whole(self._file, text + b"\n", _MODE)
        except OSError as error:
            raise StoreError(f"cannot write {self._file}: {error.strerror}", error.errno, str(self._file)) from error
