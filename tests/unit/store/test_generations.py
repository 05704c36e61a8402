"""The store of generations beside the event loop: what was added is there, and the folder is given back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from outrider.errors import SyncError
from outrider.settings import Generations, Live, Settings
from outrider.store.generations import open_generations
from outrider.store.tree import FileTree
from outrider.world import ThreadPool

KEPT = Generations(keep=2, keep_bytes=1 << 20)


def open_tree(home: Path, threads: ThreadPool) -> FileTree:
    (home / "tree").mkdir(exist_ok=True)
    return FileTree(Live(Settings.from_mapping({"node.home": str(home), "tree.files": [{"folder": "tree/"}]})), threads)


def test_a_tree_is_added_and_told_again_by_the_next_store(tmp_path: Path) -> None:
    async def whole() -> None:
        threads = ThreadPool()
        tree = open_tree(tmp_path, threads)
        (tmp_path / "tree" / "a").write_bytes(b"one")
        manifest = (await tree.scan()).manifest
        async with open_generations(tmp_path, threads, Random(1), lambda: KEPT) as store:
            assert await store.latest() is None
            first = await store.add(tree, manifest, 1.5)
            assert (first.number, first.root, first.time, first.files) == (1, manifest.root, 1.5, 1)
            lineage = store.lineage
            assert lineage == Random(1).randbytes(16).hex()
        async with open_generations(tmp_path, threads, Random(2), lambda: KEPT) as store:
            assert store.lineage == lineage
            assert await store.list() == [first]
            assert await store.find(manifest.root) == 1
            assert await store.manifest(1) == manifest
            assert await store.manifest(2) is None
            for number in (2, 3):
                (tmp_path / "tree" / "a").write_bytes(b"%d" % number)
                assert (await store.add(tree, (await tree.scan()).manifest, number)).number == number
            assert await store.sweep() == 1
            assert [generation.number for generation in await store.list()] == [2, 3]
            assert store.damaged == 0

    asyncio.run(whole())


def test_threat_36_a_file_that_changed_since_the_scan_is_told_and_nothing_is_added(tmp_path: Path) -> None:
    async def whole() -> None:
        threads = ThreadPool()
        tree = open_tree(tmp_path, threads)
        (tmp_path / "tree" / "a").write_bytes(b"one")
        manifest = (await tree.scan()).manifest
        (tmp_path / "tree" / "a").write_bytes(b"two")
        async with open_generations(tmp_path, threads, Random(1), lambda: KEPT) as store:
            with pytest.raises(SyncError, match=r"tree/a: it changed while it was read"):
                await store.add(tree, manifest, 1.0)
            assert await store.list() == []

    asyncio.run(whole())


def test_a_store_that_is_open_is_not_opened_twice_and_is_given_back_whoever_still_knows_it(tmp_path: Path) -> None:
    async def whole() -> None:
        threads = ThreadPool()
        async with open_generations(tmp_path, threads, Random(1), lambda: KEPT) as first:
            with pytest.raises(SyncError, match="another node has it open"):
                async with open_generations(tmp_path, threads, Random(1), lambda: KEPT):
                    pass
        async with open_generations(tmp_path, threads, Random(1), lambda: KEPT) as second:
            assert await second.list() == []
            with pytest.raises(SyncError, match="the store is closed"):
                await first.sweep()

    asyncio.run(whole())


def test_other_limits_hold_from_the_next_sweep_on(tmp_path: Path) -> None:
    async def whole() -> None:
        threads, kept = ThreadPool(), [Generations(keep=9, keep_bytes=1 << 20)]
        tree = open_tree(tmp_path, threads)
        async with open_generations(tmp_path, threads, Random(1), lambda: kept[-1]) as store:
            for number in range(5):
                (tmp_path / "tree" / "a").write_bytes(b"x" * number)
                await store.add(tree, (await tree.scan()).manifest, number)
            kept.append(KEPT)
            store.follow()
            assert await store.sweep() == 3
            assert [one.number for one in await store.list()] == [4, 5]

    asyncio.run(whole())
