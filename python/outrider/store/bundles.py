"""Steps of a master's tree as bundles: what a worker's tree lacks, packed out of the generations and the tree."""

from __future__ import annotations

from collections.abc import Sequence

from outrider._native import BundlePacker, Contents, Manifest, Step
from outrider.ports import Threads
from outrider.store.generations import GenerationStore
from outrider.store.tree import FileTree

__all__ = ["BundlePacker", "Bundles", "Step"]


class Bundles:
    """Makes steps and packs them. All methods run in threads that let Python go on."""

    def __init__(self, tree: FileTree, store: GenerationStore, threads: Threads) -> None:
        self._tree = tree
        self._store = store
        self._threads = threads

    async def step(self, base: Manifest, to: Manifest, unseen: Sequence[str]) -> Step:
        """The step between two manifests; what the source could not look at, ``unseen``, is deleted nowhere."""
        return await self._threads.run(Step, base, to, self._tree.table, unseen=unseen)

    async def step_against(self, base_root: str, report: bytes, to: Manifest, unseen: Sequence[str]) -> Step:
        """The step from what a worker reports; :class:`PeerError` if that is no report."""
        reported = await self._tree.read_report(report)
        return await self._threads.run(Step.against, base_root, reported, to, self._tree.table, unseen=unseen)

    async def wanted(self, step: Step) -> list[str]:
        """Files whose chunks the worker should describe."""
        return await self._threads.run(lambda: step.wanted(self._contents()))

    async def described(self, step: Step, signatures: bytes) -> Step:
        """The same step, with the chunks that the worker has."""
        return await self._threads.run(step.with_signatures, signatures)

    async def pack(self, step: Step) -> BundlePacker:
        """The bundle of a step; it may come while files of the tree change, as long as the generations keep them."""

        def begin() -> BundlePacker:
            return BundlePacker(step, self._store.native.contents(), self._contents())

        return await self._threads.run(begin)

    def _contents(self) -> Contents:
        """The generations first: what they keep stays as it is."""
        return self._store.native.contents().or_else(self._tree.native.contents())
