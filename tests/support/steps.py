"""What brings one tree to another, as a master and a worker of the fast path have it: real trees, real bundles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from tests.support.folders import files_below

from outrider.model import Manifest
from outrider.ports import Threads
from outrider.settings import Generations, Live, Settings
from outrider.store.bundles import BundlePacker, Bundles, Step
from outrider.store.generations import GenerationStore, open_generations
from outrider.store.tree import FileTree
from outrider.world import real_ports

Files = Mapping[str, bytes]


def settings_of(home: Path, **changes: Any) -> Settings:
    """Of a node whose whole tree lies in ``tree/``."""
    rule = {"folder": "tree/", "remove_subdirs_if_empty": True, "extra_valid": bool(changes.pop("extra_valid", False))}
    return Settings.from_mapping({"node.home": str(home), "tree.files": [rule], **changes})


def fill(home: Path, files: Files) -> None:
    """Write files below ``tree/``."""
    (home / "tree").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (home / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "tree" / name).write_bytes(content)


def tree_of(home: Path, files: Files, threads: Threads, **changes: Any) -> FileTree:
    """A tree with these files."""
    fill(home, files)
    return FileTree(Live(settings_of(home, **changes)), threads)


def below(home: Path) -> dict[str, bytes]:
    """What a tree holds, named as :func:`fill` names it."""
    return {path.removeprefix("tree/"): content for path, content in files_below(home, "tree").items()}


class Ends:
    """A master whose tree went on from ``old`` to ``new``, and a worker that stands at ``old``."""

    def __init__(self, folder: Path, store: GenerationStore, master: FileTree, worker: FileTree, old: Manifest) -> None:
        self.home = folder / "worker"
        self.master, self.worker, self.store = master, worker, store
        self.old, self.new = old, old
        self.threads = master._threads
        self.ports = replace(real_ports(), threads=self.threads)
        self.bundles = Bundles(master, store, self.threads)

    async def known(self) -> bytes:
        """The bundle for a worker that stands at a generation."""
        return await self.packed(await self.bundles.step(self.old, self.new, ()))

    async def unknown(self) -> bytes:
        """The bundle for a worker of which the master knows what it reports."""
        report = await self.worker.report(self.old)
        step = await self.bundles.step_against(self.old.root, report, self.new, ())
        if wanted := await self.bundles.wanted(step):
            step = await self.bundles.described(step, await self.worker.signatures(self.old, wanted))
        return await self.packed(step)

    async def packed(self, step: Step) -> bytes:
        """All bytes of a bundle."""
        packing: BundlePacker = await self.bundles.pack(step)
        return b"".join([data async for data in self._parts(packing)])

    async def _parts(self, packing: BundlePacker) -> AsyncIterator[bytes]:
        while data := await self.threads.run(packing.read, 1 << 16):
            yield data


@asynccontextmanager
async def two_ends(folder: Path, old: Files, new: Files, threads: Threads) -> AsyncIterator[Ends]:
    """See :class:`Ends`; both states are generations of the master."""
    home = folder / "master"
    master, worker = tree_of(home, old, threads), tree_of(folder / "worker", old, threads)
    async with open_generations(home, threads, Random(1), Generations) as store:
        ends = Ends(folder, store, master, worker, (await worker.scan()).manifest)
        await store.add(master, (await master.scan()).manifest, 1.0)
        for name in old.keys() - new.keys():
            (home / "tree" / name).unlink()
        fill(home, new)
        ends.new = (await master.scan(rehash=True)).manifest
        if ends.new.root != ends.old.root:
            await store.add(master, ends.new, 2.0)
        yield ends
