"""What stat hides is found at the latest when everything is read again."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.cluster import TREE, Cluster, simulate

from outrider._native import Scan
from outrider.store.tree import FileTree


@pytest.mark.parametrize("require", ["base", "any"])
def test_threat_35_each_node_reads_every_file_again_at_the_interval_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: str
) -> None:
    looks: dict[str, list[float]] = {}
    scan = FileTree.scan

    async def watched(tree: FileTree, *, rehash: bool = False) -> Scan:
        if rehash:
            looks.setdefault(Path(tree._home).name, []).append(asyncio.get_running_loop().time())
        return await scan(tree, rehash=rehash)

    monkeypatch.setattr(FileTree, "scan", watched)
    often = {"intervals.worker.sync_integrity": 10, "tree.rehash_interval": 100, "link.require": require}

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        await cluster.master(often)
        cluster.worker("worker1", often)
        await asyncio.sleep(450)

    simulate(tmp_path, story)
    for name in ("master", "worker1"):
        assert [round(later - earlier) for earlier, later in pairwise(looks[name])] == pytest.approx([105] * 3, abs=6)
