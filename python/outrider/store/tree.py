"""The tree of files that is kept in step: scanned, packed and changed as a whole, off the event loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from outrider._native import (
    Applied,
    BundleFeed,
    FileRule,
    FilesTable,
    Manifest,
    Packer,
    Plan,
    Scan,
    ShortManifest,
    Tree,
    pack_manifest,
)
from outrider._native import read_manifest as read_manifest_file
from outrider.errors import PeerError
from outrider.ports import Threads
from outrider.printable import counted
from outrider.settings import Live, Settings
from outrider.status import unheard
from outrider.store.changes import Changes
from outrider.store.home import Home

__all__ = ["Applied", "BundleFeed", "FileTree", "Packer", "account_of", "files_table", "inhabited", "open_tree"]

P = ParamSpec("P")
T = TypeVar("T")


class FileTree:
    """A home's files table at work. All methods run in threads that let Python go on.

    ``changes`` tells when someone else has changed the tree, as long as its ``run`` does. ``hit`` is told of the
    setting that something which a peer sent runs into. The native tree keeps nothing in memory: for other settings it
    is made anew, and what is under way goes on with the one that it began with.
    """

    def __init__(self, live: Live, threads: Threads, hit: Callable[[str], None] = unheard) -> None:
        settings = live.now
        self._hit = hit
        self._live = live
        self.table = files_table(settings)
        self.changes = Changes(live, self.table)
        self._threads = threads
        self._home = str(settings.node.home.resolve())
        self._tree = open_tree(settings)
        live.when_changed(self._follow)
        self._running: set[asyncio.Future[Any]] = set()

    def _follow(self) -> None:
        self._tree = open_tree(self._live.now)

    @property
    def native(self) -> Tree:
        """The tree itself, for what else of the native core reads it; only in threads."""
        return self._tree

    async def settled(self) -> None:
        """Wait for work that goes on although its caller was cancelled: a thread cannot be stopped."""
        while self._running:
            await asyncio.wait(self._running)

    async def recover(self) -> str | None:
        """Finish, undo or set aside what a crash cut short, and say which; before anything else."""
        return await self._run(self._tree.recover)

    async def scan(self, *, rehash: bool = False) -> Scan:
        """What the tree holds now."""
        return await self._run(self._tree.scan, rehash=rehash)

    async def pack(self, plan: Plan, limit: int) -> Packer:
        """The container that carries ``plan`` to a worker, ``limit`` bytes at most."""
        level = self._live.now.intervals.communication.compress_level
        return await self._threads.run(self._tree.pack, plan, limit=limit, level=level)

    async def pack_manifest(self, manifest: Manifest) -> Packer:
        """The container that asks a master whether ``manifest`` is in step."""
        return await self._threads.run(pack_manifest, manifest, self._home)

    async def read_manifest(self, container: Path) -> tuple[Manifest, list[tuple[str, str]]]:
        """What a worker says it holds, and what of it cannot be compared: name and reason."""
        limits = self._live.now.limits
        with self._counted():
            return await self._threads.run(
                read_manifest_file,
                str(container),
                max_bytes=limits.metadata_bytes,
                max_files=limits.unpacked_files,
                max_ratio=limits.unpacked_ratio,
            )

    async def read_report(self, report: bytes) -> ShortManifest:
        """What a worker says it holds, over an extended link; :class:`PeerError` if that is no report."""
        most = self._live.now.limits.metadata_bytes
        with self._counted():
            return await self._threads.run(ShortManifest.from_native, report, max_bytes=most)

    async def apply(self, container: Path, *, most_deleted: int | None = None) -> Applied:
        """Make the tree what the container says, or change nothing and raise.

        :class:`HeldBackError` if it deletes more than ``most_deleted`` files.
        """
        return await self._change(self._tree.apply, str(container), most_deleted=most_deleted)

    async def apply_bundle(
        self, feed: BundleFeed, base: Manifest, root: str, *, most_deleted: int | None = None
    ) -> Applied:
        """Take the step that ``feed`` brings from ``base``, what the tree holds, to ``root``; or raise, unchanged.

        :class:`HeldBackError` if it deletes more than ``most_deleted`` files.
        """
        return await self._change(self._tree.apply_bundle, feed, base, root, most_deleted=most_deleted)

    async def shared(self, manifest: Manifest, agreed: Manifest) -> Manifest:
        """``manifest`` without what is this node's own since no step of what was ``agreed`` ever brought it."""
        return await self._threads.run(manifest.without_own, self.table, agreed)

    async def report(self, manifest: Manifest) -> bytes:
        """What the tree holds, for a master that does not know its root."""
        return await self._threads.run(manifest.to_native_short)

    async def signatures(self, manifest: Manifest, paths: Sequence[str]) -> bytes:
        """The chunks of some of its files, for the same."""
        return await self._run(self._tree.signatures, manifest, paths)

    async def rollback(self) -> int:
        """Go back to the version before the last apply; how many steps that took."""
        return await self._run(self._tree.rollback)

    async def sweep(self) -> int:
        """Remove old versions; slow and harmless, so it comes after everything that waits."""
        return await self._run(self._tree.sweep)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """A limit that stops this is counted: the core names it at the end of its text."""
        try:
            yield
        except PeerError as error:
            if limit := re.search(r" is over the limit of .*\((limits\.[a-z_]+)\)$", str(error)):
                self._hit(limit[1])
            raise

    async def _change(self, apply: Callable[P, Applied], *args: P.args, **kwargs: P.kwargs) -> Applied:
        @wraps(apply)
        def change() -> Applied:
            with self.changes.own() as own:
                applied = apply(*args, **kwargs)
                own.plan = applied.plan
                return applied

        with self._counted():
            return await self._run(change)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        running = asyncio.ensure_future(self._threads.run(work, *args, **kwargs))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return await asyncio.shield(running)


@asynccontextmanager
async def inhabited(
    home: Home, live: Live, threads: Threads, hit: Callable[[str], None] = unheard
) -> AsyncIterator[FileTree]:
    """Hold ``home`` for one node, with the tree in it; it is given back when no work on the tree goes on."""
    opening = asyncio.ensure_future(threads.run(home.open))
    try:
        await asyncio.shield(opening)
        tree = FileTree(live, threads, hit)
        try:
            yield tree
        finally:
            await tree.settled()
    finally:
        await asyncio.wait([opening])  # whoever is cancelled meanwhile would leave the home locked
        opening.exception()
        await threads.run(home.close)


def account_of(applied: Applied) -> str:
    """What an apply came to, as a line of a log."""
    phases = ", ".join(f"{phase} {seconds:.3f}" for phase, seconds in applied.seconds.items())
    return (
        f"applied {counted(applied.written, 'file')} and {counted(applied.deleted, 'deletion')}, "
        f"{counted(applied.bytes_written, 'byte')}, "
        f"in {sum(applied.seconds.values()):.3f} s ({phases})"
    )


def files_table(settings: Settings) -> FilesTable:
    """The settings' files table as the native core wants it."""
    rules = [
        FileRule(
            rule.folder,
            names=rule.names,
            recursive=rule.recursive,
            permissions=rule.permissions,
            remove_subdirs_if_empty=rule.remove_subdirs_if_empty,
            extra_valid=rule.extra_valid,
        )
        for rule in settings.tree.files
    ]
    return FilesTable(
        rules,
        excluded_files=settings.tree.excluded_files,
        excluded_suffixes=settings.tree.excluded_extensions,
        follow_links=settings.tree.follow_links,
    )


def open_tree(settings: Settings) -> Tree:
    """The native tree that the settings describe."""
    return Tree(
        str(settings.node.home.resolve()),
        files_table(settings),
        owner=settings.owner,
        keep_previous=settings.tree.keep_previous,
        threads=settings.tree.threads or _threads(settings),
        max_file_bytes=settings.limits.unpacked_file_bytes,
        max_total_bytes=settings.limits.unpacked_total_bytes,
        max_files=settings.limits.unpacked_files,
        max_ratio=settings.limits.unpacked_ratio,
        max_metadata_bytes=settings.limits.metadata_bytes,
    )


def _threads(settings: Settings) -> int:
    """A master has its own word for it; a worker takes one thread for each core (0)."""
    return settings.intervals.master.process_pool_size if settings.node.type == "master" else 0
