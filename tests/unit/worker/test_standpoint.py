"""Where a worker stands: what its tree holds without a look at it, and what it remembers of its master."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

from tests.support.loop import run
from tests.support.network import Fabric
from tests.support.ports import InlineThreads, ScriptedWatch, simulated_ports
from tests.support.steps import below, fill, settings_of, two_ends

from outrider.ports import Ports
from outrider.settings import Live
from outrider.store.tree import BundleFeed, FileTree
from outrider.sync.generations import Known
from outrider.worker.standpoint import Standpoint
from outrider.world import ThreadPool

KNOWN = Known(lineage="ab" * 16, number=3, root="cd" * 64)


class Stage:
    """A worker's tree and where it stands, in virtual time."""

    def __init__(self, home: Path, ports: Ports, settings: dict[str, Any]) -> None:
        self.home = home
        chosen = settings_of(home, **settings)
        live = Live(chosen)
        self.tree = FileTree(live, ports.threads)
        self.standpoint = Standpoint(live, self.tree, ports)
        assert isinstance(ports.threads, InlineThreads)
        assert isinstance(ports.watching, ScriptedWatch)
        self.threads, self.watch = ports.threads, ports.watching

    def scans(self) -> int:
        return self.threads.calls.count("scan")


def on_stage(
    home: Path, story: Callable[[Stage], Coroutine[Any, Any, None]], *, watched: bool = True, **settings: Any
) -> None:
    fill(home, {"a": b"a\n", "b": b"b\n"})
    (home / ".outrider").mkdir(exist_ok=True)

    async def whole() -> None:
        ports = simulated_ports(Fabric(Random(1)), "here")
        stage = Stage(home, ports, settings)
        watching = asyncio.create_task(stage.tree.changes.run(ports.watching)) if watched else None
        await asyncio.sleep(0.1)
        await stage.standpoint.open()
        await story(stage)
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    run(whole())


def test_a_watched_tree_is_looked_at_once_until_it_is_in_doubt(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        first = await stage.standpoint.holds()
        fill(stage.home, {"a": b"changed\n"})
        assert await stage.standpoint.holds() is first
        assert stage.scans() == 1
        stage.standpoint.doubt()
        assert (await stage.standpoint.holds()).root != first.root
        assert stage.scans() == 2

    on_stage(tmp_path, story)


def test_a_tree_that_is_not_watched_as_a_whole_is_looked_at_each_time(tmp_path: Path) -> None:
    async def unwatched(stage: Stage) -> None:
        for number in range(3):
            fill(stage.home, {"a": b"%d\n" % number})
            holds = await stage.standpoint.holds()
            assert holds.root == (await stage.tree.scan(rehash=True)).manifest.root

    async def in_part(stage: Stage) -> None:
        stage.watch.reason = "too many folders"
        await unwatched(stage)

    on_stage(tmp_path, unwatched, watched=False)
    on_stage(tmp_path, in_part)


def test_what_was_seen_a_moment_ago_is_not_doubted_and_a_moment_is_longer_where_a_look_is(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stage.threads.seconds = 2.0
        await stage.standpoint.holds()
        stage.threads.seconds = 0.0
        await asyncio.sleep(30)
        stage.standpoint.doubt_if_old()
        await stage.standpoint.holds()
        assert stage.scans() == 1, "2 s of a look are paid every 40 s at most"
        await asyncio.sleep(30)
        stage.standpoint.doubt_if_old()
        await stage.standpoint.holds()
        assert stage.scans() == 2

    on_stage(tmp_path, story)


def test_files_of_this_node_s_own_do_not_count_once_it_has_agreed_with_its_master(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        agreed = await stage.standpoint.holds()
        stage.standpoint.agreed(agreed)
        fill(stage.home, {"own": b"mine\n"})
        stage.standpoint.doubt()
        assert (await stage.standpoint.holds()).root == agreed.root
        fill(stage.home, {"a": b"an edit of what is the master's\n"})
        stage.standpoint.doubt()
        assert (await stage.standpoint.holds()).root != agreed.root

    on_stage(tmp_path, story, extra_valid=True)


def test_threat_31_how_many_files_a_step_may_delete(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"generations.delete_share": 0.5, "generations.delete_count": 0}

    async def story(stage: Stage) -> None:
        standpoint = stage.standpoint
        assert standpoint.most_deleted("r" * 128, free=False) is None, "nothing is known of what it holds"
        await standpoint.holds()
        assert standpoint.most_deleted("r" * 128, free=False) == 1
        assert standpoint.most_deleted("r" * 128, free=True) is None
        await standpoint.approve("r" * 128)
        assert standpoint.most_deleted("r" * 128, free=False) is None
        assert standpoint.most_deleted("s" * 128, free=False) == 1

    async def anything(stage: Stage) -> None:
        await stage.standpoint.holds()
        assert stage.standpoint.most_deleted("r" * 128, free=False) is None

    on_stage(tmp_path, story, **limits)
    on_stage(tmp_path, anything, **limits, **{"generations.approve_deletions": True})


def test_what_it_took_outlives_the_node_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    async def first(stage: Stage) -> None:
        assert stage.standpoint.known == Known()
        await stage.standpoint.stand(KNOWN)

    async def second(stage: Stage) -> None:
        assert stage.standpoint.known == KNOWN
        assert stage.standpoint.damaged == ""
        (stage.home / ".outrider/standing.json").write_text("[")

    async def third(stage: Stage) -> None:
        assert stage.standpoint.known == Known()
        assert stage.standpoint.damaged

    for story in (first, second, third):
        on_stage(tmp_path, story)


def test_threat_39_the_way_back_restores_the_tree_and_remembers_what_was_bad(tmp_path: Path) -> None:
    async def whole() -> None:
        old, new = {"a": b"a\n", "gone": b"-"}, {"a": b"bad\n", "new": b"+"}
        async with two_ends(tmp_path, old, new, ThreadPool(2)) as ends:
            feed = BundleFeed()
            feed.write(await ends.known())
            feed.finish()
            await ends.worker.apply_bundle(feed, ends.old, ends.new.root)
            assert below(ends.home) == new
            ports = simulated_ports(Fabric(Random(1)), "here")
            standpoint = Standpoint(Live(settings_of(ends.home)), ends.worker, ports)
            await standpoint.open()
            standpoint.agreed(ends.new)
            assert await standpoint.go_back(ends.new.root, "the check failed") == 3
            assert below(ends.home) == old
            assert standpoint.known.bad == {ends.new.root: "the check failed"}
            assert (await standpoint.holds()).root == ends.old.root

    asyncio.run(whole())
