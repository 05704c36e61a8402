"""Steps and bundles of a master, out of its generations and its tree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.steps import Ends, below, fill, two_ends

from outrider.errors import PeerError, SyncError
from outrider.store.tree import BundleFeed
from outrider.world import ThreadPool

LARGE = Random(3).randbytes(300_000)
OLD = {"a": b"line\n" * 99, "large": LARGE, "gone": b"-"}
NEW = {"a": b"line\n" * 98 + b"end\n", "large": b"inserted" + LARGE, "new": b"+"}


def story(folder: Path, tell: Callable[[Ends], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with two_ends(folder, OLD, NEW, ThreadPool(4)) as ends:
            await tell(ends)

    asyncio.run(whole())


async def take(ends: Ends, bundle: bytes) -> None:
    """Apply a bundle at the worker."""
    feed = BundleFeed()
    assert await ends.threads.run(feed.write, bundle)
    feed.finish()
    await ends.worker.apply_bundle(feed, ends.old, ends.new.root)


def test_a_worker_at_a_generation_gets_patches_against_what_is_kept_of_it(tmp_path: Path) -> None:
    async def tell(ends: Ends) -> None:
        step = await ends.bundles.step(ends.old, ends.new, ())
        assert step.counts == (1, 2, 0, 1, 0)
        bundle = await ends.packed(step)
        assert len(bundle) < 1000, "the large file's old version is kept"
        await take(ends, bundle)
        assert below(ends.home) == NEW

    story(tmp_path, tell)


def test_what_the_master_could_not_look_at_is_deleted_nowhere(tmp_path: Path) -> None:
    async def tell(ends: Ends) -> None:
        step = await ends.bundles.step(ends.old, ends.new, ["tree/gone"])
        assert step.counts == (1, 2, 0, 0, 1)

    story(tmp_path, tell)


def test_a_worker_at_an_unknown_root_gets_what_its_report_and_its_chunks_lack(tmp_path: Path) -> None:
    async def tell(ends: Ends) -> None:
        report = await ends.worker.report(ends.old)
        step = await ends.bundles.step_against(ends.old.root, report, ends.new, ())
        assert await ends.bundles.wanted(step) == ["tree/large"]
        plain = await ends.packed(step)
        signatures = await ends.worker.signatures(ends.old, ["tree/large"])
        bundle = await ends.packed(await ends.bundles.described(step, signatures))
        assert len(plain) > 250_000
        assert len(bundle) < 50_000
        await take(ends, bundle)
        assert below(ends.home) == NEW

    story(tmp_path, tell)


def test_threat_06_reports_and_chunks_that_are_none_are_the_worker_s_fault(tmp_path: Path) -> None:
    async def tell(ends: Ends) -> None:
        report = await ends.worker.report(ends.old)
        step = await ends.bundles.step_against(ends.old.root, report, ends.new, ())
        for wrong in (b"", b"rubbish", report[:-1]):
            with pytest.raises(PeerError):
                await ends.bundles.step_against(ends.old.root, wrong, ends.new, ())
        with pytest.raises(PeerError, match="chunks"):
            await ends.bundles.described(step, b"\xff")

    story(tmp_path, tell)


def test_threat_36_a_tree_that_goes_on_changes_no_bundle_of_a_generation(tmp_path: Path) -> None:
    async def tell(ends: Ends) -> None:
        step = await ends.bundles.step(ends.old, ends.new, ())
        for path in (tmp_path / "master/tree").iterdir():
            path.unlink()
        fill(tmp_path / "master", {"a": b"something else\n"})
        await take(ends, await ends.packed(step))
        assert below(ends.home) == NEW

    story(tmp_path, tell)


def test_what_no_generation_keeps_comes_out_of_the_tree_or_the_bundle_ends(tmp_path: Path) -> None:
    async def tell(ends: Ends) -> None:
        fill(tmp_path / "master", {"later": Random(4).randbytes(1000)})
        later = (await ends.master.scan()).manifest
        step = await ends.bundles.step(ends.old, later, ())
        assert len(await ends.packed(step)) > 1000
        fill(tmp_path / "master", {"later": Random(5).randbytes(1000)})
        with pytest.raises(SyncError, match="tree/later: it changed while it was read"):
            await ends.packed(step)

    story(tmp_path, tell)
