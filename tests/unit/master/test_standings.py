"""Who waits for files waits for exactly the generation that has them, and never for longer than it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.grounds import node_ground
from tests.support.loop import run
from tests.support.network import Fabric
from tests.support.ports import simulated_ports

from outrider.errors import StoreError
from outrider.exchange.extension import Extended
from outrider.master.source import Source
from outrider.master.standings import Standings
from outrider.settings import Settings
from outrider.store.generations import Generation, GenerationStore, open_generations

WORKER: Any = "a session"
OTHER: Any = "another"
Story = Callable[["Stage"], Coroutine[Any, Any, None]]


class Peer:
    """A session as far as it is looked at."""

    def __init__(self, extended: Extended | None) -> None:
        self.extended = extended


def peer(extended: Extended | None) -> Any:
    return Peer(extended)


class Stage:
    """A master's tree, its source and its generations, without a master."""

    def __init__(self, home: Path, store: GenerationStore, source: Source, tree: Any) -> None:
        self.home, self.source = home, source
        self.standings = Standings(source)
        self._store, self._tree = store, tree

    async def make(self) -> Generation:
        made = await self._store.add(self._tree, self.source.manifest, 1.0)
        self.standings.made(made, self.source.number)
        return made


def on_stage(home: Path, story: Story) -> None:
    async def whole() -> None:
        (home / "tree").mkdir()
        settings = Settings.from_mapping({"node.home": str(home), "tree.files": [{"folder": "tree/"}]})
        ports = simulated_ports(Fabric(Random(1)), "here")
        ground = node_ground(ports, settings=settings)
        source = Source(ground.tree, ground.live, ports, ground.status)
        async with open_generations(home, ports.threads, Random(1), lambda: ground.settings.generations) as store:
            await source.look()
            await story(Stage(home, store, source, ground.tree))

    run(whole())


def now() -> float:
    return asyncio.get_running_loop().time()


def test_who_is_not_on_the_fast_path_waits_for_nothing(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.make()
        looks = stage.source.number
        assert await stage.standings.of_now(10) == 0
        assert stage.source.number == looks, "nobody takes generations: nobody looks"
        assert await stage.standings.reached(WORKER, 7, 10)
        assert now() == 0

    on_stage(tmp_path, story)


def test_the_wait_ends_with_the_generation_and_with_no_other_worker_s(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        standings, loop = stage.standings, asyncio.get_running_loop()
        standings.stands(WORKER, 3)
        standings.stands(OTHER, 3)
        loop.call_later(1, standings.stands, OTHER, 4)
        loop.call_later(2, standings.stands, WORKER, 5)
        assert await standings.reached(WORKER, 4, 10)
        assert now() == 2
        assert not await standings.reached(WORKER, 6, 10)
        assert now() == 12
        loop.call_later(1, standings.left, WORKER)
        assert await standings.reached(WORKER, 6, 10), "it is gone: what waits is of no use"
        assert now() == 13

    on_stage(tmp_path, story)


def test_who_has_just_come_may_yet_take_the_fast_path_and_is_waited_for_that_long(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.make()
        standings, loop = stage.standings, asyncio.get_running_loop()
        old, ours = peer(None), peer(Extended("worker1", "0.1.0", 1, frozenset({"generations"})))
        for one in (old, ours):
            standings.joined(one)
        assert await standings.of_now(10) == 1
        assert await standings.reached(old, 1, 60)
        assert now() == 5
        loop.call_later(4, standings.stands, ours, 1)
        assert await standings.reached(ours, 1, 60)
        assert now() == 9, "it has the extended link, and has said nothing before"
        gone = peer(None)
        standings.joined(gone)
        standings.left(gone)
        await asyncio.sleep(10)
        assert await standings.reached(gone, 1, 60)

    on_stage(tmp_path, story)


def test_a_deadline_that_is_over_is_no_wait(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stage.standings.stands(WORKER, 1)
        assert not await stage.standings.reached(WORKER, 2, -5)
        assert now() == 0

    on_stage(tmp_path, story)


def test_threat_44_what_lies_in_the_tree_now_is_in_a_generation_that_is_still_to_come(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.make()
        stage.standings.stands(WORKER, 1)
        assert await stage.standings.of_now(10) == 1, "nothing has changed"
        (stage.home / "tree/a").write_bytes(b"new")
        waiting = asyncio.create_task(stage.standings.of_now(10))
        await asyncio.sleep(1)
        assert not waiting.done()
        assert (await stage.make()).number == 2
        assert await waiting == 2

    on_stage(tmp_path, story)


def test_a_generation_of_a_later_look_will_do_whatever_it_holds(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.make()
        stage.standings.stands(WORKER, 1)
        (stage.home / "tree/a").write_bytes(b"new")
        waiting = asyncio.create_task(stage.standings.of_now(10))
        await asyncio.sleep(1)
        (stage.home / "tree/a").write_bytes(b"newer")
        await stage.source.look()
        await stage.make()
        assert await waiting == 2

    on_stage(tmp_path, story)


def test_a_generation_that_does_not_come_or_a_tree_that_cannot_be_read_hold_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(stage: Stage) -> None:
        await stage.make()
        stage.standings.stands(WORKER, 1)
        (stage.home / "tree/a").write_bytes(b"new")
        assert await stage.standings.of_now(10) == 1
        assert now() == 10

        async def fail(_: Source) -> None:
            raise StoreError("the disk is gone")

        monkeypatch.setattr(Source, "look", fail)
        assert await stage.standings.of_now(10) == 1
        assert now() == 10

    on_stage(tmp_path, story)
