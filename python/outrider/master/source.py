"""The master's own tree, looked at when it changes and at an interval: what workers are compared with (5.3, 5.5)."""

from __future__ import annotations

import asyncio
import logging

from outrider.kinds.signals import Signal
from outrider.logs import Tag, task_logger
from outrider.model import Manifest
from outrider.ports import Ports
from outrider.printable import counted
from outrider.settings import Live
from outrider.status import Status
from outrider.store.tree import FileTree

_REST = 4.0
"""After a look this many times its duration pass before the next, so that files which never stay as they are cost a
fifth of the time at most."""


class Source:
    """The last scan: its manifest, and its number, which a worker's turn is tied to.

    ``approved`` are the roots of those trees for which workers may lose any number of files: a person said so (threats
    31). ``changed`` is emitted when a scan found another tree than the one before.
    """

    def __init__(self, tree: FileTree, live: Live, ports: Ports, status: Status) -> None:
        self.number = 0
        self.approved: set[str] = set()
        self.changed = Signal()
        self._manifest: Manifest | None = None
        self._tree = tree
        self._live = live
        self._ports = ports
        self._status = status
        self._log = task_logger(Tag.LOCAL_INTEGRITY, live.now.node.name)
        self._last_rehash = ports.monotonic()
        self._complained: list[tuple[str, str]] = []
        self._turn = asyncio.Lock()  # a look that began earlier never has the last word

    @property
    def manifest(self) -> Manifest:
        """What the tree held at the last scan; :meth:`look` comes first."""
        if self._manifest is None:
            raise RuntimeError("the master's tree has not been scanned yet")
        return self._manifest

    @property
    def unseen(self) -> list[str]:
        """Paths that the last scan left out: whether they are there still is not known to anyone."""
        return [path for path, _ in self._complained]

    async def run(self) -> None:
        """Look when the tree was changed, and at the interval, until cancelled.

        What changes during a look makes one more follow.
        """
        now, rest = self._ports.monotonic, 0.0
        while True:
            began = now()
            await self._ports.sleep(rest)
            while (left := began + self._interval() - now()) > 0:
                if await self._tree.changes.come(within_s=left):
                    break
            started = now()
            await self.look()
            rest = min(self._interval(), _REST * (now() - started))

    def _interval(self) -> float:
        return self._live.now.intervals.master.recalculate_integrity

    async def look(self) -> None:
        """Scan the tree once, in a thread."""
        async with self._turn:
            await self._look()

    async def _look(self) -> None:
        started = self._ports.monotonic()
        rehash = started - self._last_rehash >= self._live.now.tree.rehash_interval
        if rehash:
            self._last_rehash = started
        scan = await self._tree.scan(rehash=rehash)
        changed = self._manifest is None or scan.manifest != self._manifest
        self._manifest = scan.manifest
        self.number += 1
        seconds = self._ports.monotonic() - started
        level = logging.INFO if changed else logging.DEBUG
        self._log.log(
            level, "%s, %d of them read, in %.3f s", counted(len(scan.manifest), "file"), scan.hashed, seconds
        )
        if scan.problems != self._complained:
            self._complained = scan.problems
            for path, reason in scan.problems:
                self._log.warning("left out %s: %s", path, reason)
        if changed:
            now, manifest = self._ports.wall(), scan.manifest
            self._status.stands(number=self._status.standing.number, root=manifest.root, at=now, files=len(manifest))
            self._status.in_step(now)
            self.changed.emit()
