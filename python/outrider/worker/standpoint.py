"""Where a worker stands: the generation that it took last, and what its tree holds."""

from __future__ import annotations

from typing import Final

from outrider.model import Manifest
from outrider.ports import Ports
from outrider.settings import Live
from outrider.store.standing import Standing
from outrider.store.tree import FileTree
from outrider.sync.generations import Deletions, Known, approved, quarantined

_REST: Final = 20
"""A scan that nothing asked for comes at most once in so many times as long as it takes."""


class Standpoint:
    """See the module."""

    def __init__(self, live: Live, tree: FileTree, ports: Ports) -> None:
        self.damaged = ""
        self._tree = tree
        self._ports = ports
        self._standing = Standing(live.now.node.home.resolve(), ports.threads)
        self._holds: Manifest | None = None
        self._agreed: Manifest | None = None  # as of the last step or question, with none of this node's own files
        self._scanned, self._scan_s = 0.0, 0.0
        self._live = live
        self._rehashed = ports.monotonic()

    async def open(self) -> None:
        """Read what this node took last; ``damaged`` says why that cannot be read."""
        await self._standing.open()
        self.damaged = self._standing.damaged

    @property
    def known(self) -> Known:
        """What this node remembers of its master's generations."""
        return self._standing.known

    async def holds(self) -> Manifest:
        """What the tree holds: as the last apply left it, or a scan if it may have changed since."""
        if self._holds is None or not self._tree.changes.complete:
            self._scanned = self._ports.monotonic()
            rehash = (
                self._scanned - self._rehashed >= self._live.now.tree.rehash_interval
            )  # whatever stat says (threats 35)
            if rehash:
                self._rehashed = self._scanned
            holds = (await self._tree.scan(rehash=rehash)).manifest
            self._holds = holds if self._agreed is None else await self._tree.shared(holds, self._agreed)
            self._scan_s = self._ports.monotonic() - self._scanned
        return self._holds

    @property
    def files(self) -> int | None:
        """How many files the tree holds, where that is known at this moment."""
        return None if self._holds is None else len(self._holds)

    def doubt(self) -> None:
        """What the tree holds is not known any more: the next round looks."""
        self._holds = None

    def doubt_if_old(self) -> None:
        """The same unless somebody looked a moment ago: nothing that watches a tree sees all of it for ever."""
        if self._ports.monotonic() - self._scanned > _REST * self._scan_s:
            self.doubt()

    def most_deleted(self, root: str, *, free: bool) -> int | None:
        """The most files that the step to ``root`` may delete; ``None``: all."""
        terms = self._live.now.generations
        if free or terms.approve_deletions or self.known.approved == root or self._holds is None:
            return None
        return Deletions(terms.delete_share, terms.delete_count).most(len(self._holds))

    def agreed(self, holds: Manifest) -> None:
        """The tree is this, as the master sees it."""
        self._holds = self._agreed = holds

    async def stand(self, known: Known) -> None:
        """Note that a generation has been taken."""
        await self._standing.keep(known)

    async def approve(self, root: str) -> None:
        """The step to this root may delete what it wants."""
        await self._standing.keep(approved(self.known, root))

    async def go_back(self, root: str, reason: str) -> int:
        """Put the version before the last apply back, and do not take the generation of ``root`` again."""
        self.doubt()
        await self._standing.keep(quarantined(self.known, root, reason))
        return await self._tree.rollback()
