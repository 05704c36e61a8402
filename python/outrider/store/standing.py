"""What a worker remembers of its master's generations across restarts: one small file, whole at every moment."""

from __future__ import annotations

from pathlib import Path

import msgspec

from outrider.errors import StoreError
from outrider.ports import Threads
from outrider.protocol.shallow import shallow
from outrider.store.whole import write_whole
from outrider.sync.generations import Known

_FILE = ".outrider/standing.json"
_MODE = 0o600
_known = shallow(msgspec.json.Decoder(Known).decode)


class Standing:
    """The file below a home, and what it says. ``damaged`` tells why it could not be read: then nothing is known."""

    def __init__(self, home: Path, threads: Threads) -> None:
        self.known = Known()
        self.damaged = ""
        self._path = home / _FILE
        self._threads = threads

    async def open(self) -> None:
        """Read the file."""
        await self._threads.run(self._read)

    async def keep(self, known: Known) -> None:
        """Remember this, durably; :class:`StoreError` if the disk refuses."""
        if known != self.known:
            await self._threads.run(self._write, known)
            self.known = known

    def _read(self) -> None:
        try:
            self.known = _known(self._path.read_bytes())
        except FileNotFoundError:
            self.known = Known()
        except (OSError, ValueError) as error:
            self.known, self.damaged = Known(), str(error)

    def _write(self, known: Known) -> None:
        try:
            write_whole(self._path, msgspec.json.encode(known), _MODE)
        except OSError as error:
            raise StoreError(
                f"cannot remember the generation in {self._path}: {error.strerror}", error.errno, str(self._path)
            ) from error
