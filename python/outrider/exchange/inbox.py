"""Files that arrive over one connection, written in threads, each file's parts in order (2.1, 3.3).

The answer to a part says that it is on disk (or in the page cache), so a peer's window bounds what
we hold; one that sends on regardless is held back at the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from outrider.errors import Refusal, StoreError
from outrider.ports import Threads
from outrider.printable import counted
from outrider.protocol import faults
from outrider.protocol.bodies import SharedPath, TransferPath, split_once, split_view
from outrider.protocol.commands import ERR, OK_NEW_FILE
from outrider.settings import Limits, Live
from outrider.status import unheard
from outrider.store.incoming import IncomingFile
from outrider.store.shared import SharedFolder
from outrider.transport.answers import Reply

_log = logging.getLogger("outrider.exchange")
_Name = TransferPath | SharedPath
_RECEIVED = Reply(b"File received correctly")
_BAD_SUM = b"File wasn't correctly received. Checksums aren't equal."


class Inbox:
    """See the module. ``hold`` and ``release`` stop and resume reading from the peer; ``hit`` is told of a limit."""

    def __init__(
        self,
        threads: Threads,
        live: Live,
        *,
        now: Callable[[], float],
        hold: Callable[[], None],
        release: Callable[[], None],
        shared: SharedFolder | None = None,
        hit: Callable[[str], None] = unheard,
    ) -> None:
        self._hit = hit
        self._threads = threads
        self._live = live
        self._now = now
        self._hold = hold
        self._release = release
        self._shared = shared
        self._inflight = 0
        self._held = False
        self._requests = 0
        self._open: dict[bytes, _Lane] = {}
        self._ending: set[_Lane] = set()  # of one name there may be several: a peer need not wait for our answers
        self._whole: dict[_Name, _Lane] = {}
        self._taken: dict[Path, _Lane] = {}
        self._going: set[_Lane] = set()  # being removed, by someone who may be cancelled in the middle of it
        self._numbers = count(1)

    async def begin(self, payload: bytes, worker: str, folder: Path) -> Reply:
        """``new_file``: open or truncate a file in ``folder``, which belongs to ``worker``."""
        path = self._path(payload, worker)
        with self._waiting():
            stale = self._take_stale(but=path)
            if path in self._whole:
                stale.append(self._whole.pop(path))
            try:
                lane = self._open_lane(payload, path, folder)
                await lane.do(lane.file.open)
            except StoreError:
                self._open.pop(payload, None)
                raise
            finally:
                await self._remove(stale)
        return Reply(b"Ready to receive new file", OK_NEW_FILE)

    async def extend(self, payload: bytes) -> Reply:
        """``file_upd``: append a part. The peer is told what the disk said: its errors name no path of ours."""
        name, data = split_view(payload)
        lane = self._lane(name)
        lane.touched = self._now()
        with self._waiting(len(data)):
            try:
                await lane.do(lane.file.write, data)
            except StoreError as error:
                if lane.file.size > self._limits.file_bytes:
                    self._hit("limits.file_bytes")
                _log.error("%s", error)
                raise Refusal(faults.INTERNAL, str(error)) from error
        return Reply(b"File updated")

    async def end(self, payload: bytes) -> Reply:
        """``file_end``: close a file and compare its SHA-256; one that differs is removed."""
        name, sha256 = split_once(payload)
        lane = self._lane(name)
        self._ending.add(self._open.pop(name))
        with self._waiting():
            whole = await lane.do(lane.file.finish, sha256)
            if whole and isinstance(lane.path, SharedPath):
                await self._share(lane, lane.path)
                return _RECEIVED
            self._ending.discard(lane)
            if not whole:
                return Reply(_BAD_SUM, ERR)
            # A peer may not fill the disk: neither with files of one name, nor with files that nobody comes for.
            surplus = [self._whole.pop(lane.path)] if lane.path in self._whole else []
            self._whole[lane.path] = lane
            if len(self._whole) > self._limits.open_files:
                surplus.append(self._whole.pop(next(iter(self._whole))))
            await self._remove(surplus)
        return _RECEIVED

    async def settled(self, path: TransferPath) -> None:
        """Wait for the end of a file that is being ended: a peer need not wait for our answer before it goes on."""
        for lane in [lane for lane in self._ending if lane.path == path]:
            await lane.do(_nothing)

    def take(self, path: TransferPath) -> Path | None:
        """Where the file that came whole as ``path`` lies; the taker says when it may go (:meth:`remove`)."""
        lane = self._whole.pop(path, None)
        if lane is None:
            return None
        self._taken[lane.file.path] = lane
        return lane.file.path

    async def remove(self, file: Path) -> None:
        """Remove a file that was taken."""
        lane = self._taken.pop(file, None)
        if lane is not None:
            await self._remove([lane])

    async def abandon(self) -> None:
        """Remove everything that came: the connection is gone."""
        lanes = [*self._open.values(), *self._ending, *self._whole.values(), *self._taken.values(), *self._going]
        for kept in (self._open, self._ending, self._whole, self._taken):
            kept.clear()
        await self._remove(lanes)

    @property
    def _limits(self) -> Limits:
        return self._live.now.limits

    def _most_bytes(self) -> int:
        return self._limits.file_bytes

    def _path(self, payload: bytes, worker: str) -> _Name:
        if self._shared is not None and self._shared.holds(payload):
            return self._shared.path(payload)
        return TransferPath.decode(payload, worker)

    async def _share(self, lane: _Lane, path: SharedPath) -> None:
        """No task waits for a file that a program sent: it goes where it belongs at once."""
        assert self._shared is not None  # noqa: S101  (who made the path)
        try:
            await lane.do(self._shared.take, lane.file.path, path)
        except StoreError as error:  # the program that sent it is told why: nobody here waits for it
            await self._remove([lane])
            raise Refusal(faults.INTERNAL, str(error)) from error
        finally:
            self._ending.discard(lane)

    @contextlib.contextmanager
    def _waiting(self, size: int = 0) -> Iterator[None]:
        """While a request, and so many bytes with it, waits for the disk; too much of that stops the reading.

        Requests count beside their bytes: each costs us more, and others wait behind it for a thread. So a flood of
        empty parts, or of files begun and ended at once, is held back as well.
        """
        self._inflight += size
        self._requests += 1
        if limit := self._exceeded():
            if not self._held:
                self._hit(limit)
            self._held = True
            self._hold()
        try:
            yield
        finally:
            self._inflight -= size
            self._requests -= 1
            most = self._limits
            if self._inflight <= most.inflight_write_bytes // 2 and self._requests <= most.inflight_writes // 2:
                self._held = False
                self._release()

    def _exceeded(self) -> str:
        """The setting that what waits for the disk is over; empty if there is room."""
        if self._inflight > self._limits.inflight_write_bytes:
            return "limits.inflight_write_bytes"
        return "limits.inflight_writes" if self._requests > self._limits.inflight_writes else ""

    def _open_lane(self, payload: bytes, path: _Name, folder: Path) -> _Lane:
        """Before the first pause of ``new_file``: a peer may send parts before it has our answer."""
        lane = self._open.get(payload)
        if lane is None:
            if len(self._open) >= (most := self._limits.open_files):
                self._hit("limits.open_files")
                raise Refusal(faults.INTERNAL, f"{counted(most, 'file')} open already (limits.open_files)")
            # A name of its own on disk: a peer may send a file under the name of one that is still in use here.
            file = IncomingFile(folder / f"{next(self._numbers)}-{path.name}", self._most_bytes)
            lane = self._open[payload] = _Lane(file, path, self._threads)
        lane.touched = self._now()
        return lane

    def _take_stale(self, but: _Name) -> list[_Lane]:
        """Files whose sender has given up without a word: no task waits as long as they have lain."""
        oldest = self._now() - self._live.now.intervals.communication.timeout_receiving_file
        stale: list[_Lane] = []
        for name, lane in list(self._open.items()):
            if lane.touched < oldest and lane.path != but:
                stale.append(self._open.pop(name))
        for path, lane in list(self._whole.items()):
            if lane.touched < oldest:
                stale.append(self._whole.pop(path))
        return stale

    async def _remove(self, lanes: list[_Lane]) -> None:
        self._going.update(lanes)
        for lane in lanes:
            await lane.do(lane.file.discard)
            await self._threads.run(_unlink, lane.file.path)
            self._going.discard(lane)

    def _lane(self, name: bytes) -> _Lane:
        lane = self._open.get(name)
        if lane is None:
            raise Refusal(faults.INTERNAL, repr(name))
        return lane


class _Lane:
    """The work on one file: in order, off the loop, and as much per thread call as has queued up."""

    def __init__(self, file: IncomingFile, path: _Name, threads: Threads) -> None:
        self.file = file
        self.path = path
        self.touched = 0.0
        self._threads = threads
        self._queue: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    def do(self, work: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((lambda: work(*args), done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return done

    async def _work(self) -> None:
        try:
            while self._queue:
                batch = list(self._queue)
                self._queue.clear()
                outcomes = await self._threads.run(_run_all, [work for work, _ in batch])
                for (_, done), outcome in zip(batch, outcomes, strict=True):
                    if done.done():
                        continue
                    if isinstance(outcome, Exception):
                        done.set_exception(outcome)
                    else:
                        done.set_result(outcome)
        finally:
            self._worker = None


def _nothing() -> None:
    """The last in a queue: when it is done, everything before it is."""


def _unlink(file: Path) -> None:
    with contextlib.suppress(OSError):  # the next start empties the folder
        file.unlink()


def _run_all(works: list[Callable[[], Any]]) -> list[Any]:
    outcomes: list[Any] = []
    for work in works:
        try:
            outcomes.append(work())
        except Exception as error:  # noqa: BLE001  (handed to whoever waits for this piece of work)
            outcomes.append(error)
    return outcomes
