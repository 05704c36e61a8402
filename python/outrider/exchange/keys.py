"""The cluster keys of a node that runs: the ring that seals its links, and the file in which they are kept.

Keys that stand in the settings, in the environment or in a credential of systemd are used and never changed: there is
no file of theirs that this node could write. What changes a ring has it on disk before any link uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from outrider.codes import Code
from outrider.errors import StoreError
from outrider.ports import Threads
from outrider.protocol.seal import KeyRing, Retired
from outrider.settings import Live
from outrider.settings.key import ClusterKey, key_id
from outrider.settings.key_file import read_key_file
from outrider.store.whole import write_whole


class Keys:
    """See the module."""

    def __init__(self, live: Live, threads: Threads) -> None:
        link = live.now.link
        self.ring = KeyRing(link.keys, link.token_age_s)
        self._live = live
        self._file = link.key_file
        self._on_disk = self.held
        self._threads = threads
        live.when_changed(self._follow)

    @property
    def held(self) -> list[ClusterKey]:
        """The keys, the one that seals first."""
        return [ClusterKey(key.decode()) for key in self.ring.keys]

    @property
    def ids(self) -> tuple[str, ...]:
        """What tells them apart, in the same order."""
        return tuple(map(key_id, self.held))

    @property
    def cannot(self) -> str:
        """Why the keys of this node cannot be changed by a node; empty if they can."""
        if self._file is None:
            return (
                "its key is in its settings, its environment or a credential, not in a file of its own (link.key_file)"
            )
        return ""

    async def keep(self, keys: Sequence[ClusterKey], retired: Sequence[Retired] = ()) -> None:
        """Write the keys into the file, durably, then use them; :class:`StoreError` if the file cannot be written."""
        if self._file is None:
            raise StoreError(self.cannot).coded(Code.KEY_NOT_KEPT)
        if list(keys) != self._on_disk:
            await self._threads.run(_write, self._file, keys)
            self._on_disk = list(keys)
        self.use(keys, retired)

    def use(self, keys: Sequence[ClusterKey], retired: Sequence[Retired]) -> None:
        """Have all links use these keys, and know those that were rotated out."""
        self.ring.replace([bytes(key) for key in keys], retired)

    def _follow(self) -> None:
        """The settings say something else. Of keys in a file the file has the last word: see :meth:`read_again`."""
        link = self._live.now.link
        self.ring.max_age_s = link.token_age_s
        found = [ClusterKey(key.decode()) for key in link.keys]
        if self._file is None and found != self._on_disk:
            self._on_disk = found
            self.use(found, self.ring.retired)

    async def read_again(self) -> bool:
        """Use what a person has put into the file meanwhile, if it is good; whether that is something else."""
        if self._file is None:
            return False
        try:
            found = await self._threads.run(read_key_file, self._file)
        except ValueError:
            return False
        if found == self._on_disk:
            return False
        self._on_disk = found
        self.use(found, self.ring.retired)
        return True


def _write(file: Path, keys: Sequence[ClusterKey]) -> None:
    target = file.resolve()  # a link stays one
    try:
        mode = target.stat().st_mode & 0o777
        write_whole(target, b"".join(bytes(key) + b"\n" for key in keys), mode)
    except OSError as error:
        raise StoreError(
            f"cannot write the key file {file}: {error.strerror}; this node's user must be able to",
            error.errno,
            str(target),
        ).coded(Code.KEY_NOT_KEPT) from error
