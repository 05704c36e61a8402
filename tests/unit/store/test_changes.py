"""Changes are told until someone has looked; a tree's own apply is none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest
from tests.support.ports import ScriptedWatch

from outrider._native import diff
from outrider.ports import Threads
from outrider.settings import Live, Settings
from outrider.store.changes import Changes
from outrider.store.tree import FileTree, files_table
from outrider.world import real_ports

P = ParamSpec("P")
T = TypeVar("T")


def settings(home: Path, **watch: Any) -> Settings:
    (home / "tree").mkdir(parents=True, exist_ok=True)
    changes = {f"watch.{name}": value for name, value in watch.items()}
    return Settings.from_mapping({"node.home": str(home), "tree.files": [{"folder": "tree/"}], **changes})


def scripted(home: Path, **watch: Any) -> tuple[Changes, ScriptedWatch]:
    live = Live(settings(home, **watch))
    return Changes(live, files_table(live.now)), ScriptedWatch()


async def steps() -> None:
    """Let everybody go on who can."""
    for _ in range(12):
        await asyncio.sleep(0)


async def during(run: Coroutine[Any, Any, None], story: Coroutine[Any, Any, None]) -> None:
    running = asyncio.ensure_future(run)
    try:
        await story
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_a_change_is_told_once_however_many_bursts_it_took(tmp_path: Path) -> None:
    async def whole() -> None:
        changes, watch = scripted(tmp_path)

        async def story() -> None:
            assert await changes.come(within_s=60), "what changed before anyone watched"
            watch.tell("tree")
            watch.tell("tree/sub", lost=True)
            await steps()
            assert await changes.come(within_s=60)
            assert not await changes.come(within_s=0)
            watch.tell("tree")
            await steps()
            with changes.own():
                assert watch.own == 1
            assert await changes.come(within_s=0), "what was told before is not its own doing"
            assert watch.plans == [None]

        await during(changes.run(watch), story())
        assert watch.opened == 0
        assert watch.asked[2:] == (0.01, 0.2)

    asyncio.run(whole())


def test_nothing_is_watched_where_the_settings_say_so(tmp_path: Path) -> None:
    async def story() -> None:
        changes, watch = scripted(tmp_path, enabled=False)

        async def look() -> None:
            await steps()
            assert not hasattr(watch, "asked")
            with changes.own():
                pass
            assert not await changes.come(within_s=0)

        await during(changes.run(watch), look())

    asyncio.run(story())


def test_other_settings_of_the_watch_hold_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        live = Live(settings(tmp_path, enabled=False))
        changes, watch = Changes(live, files_table(live.now)), ScriptedWatch()

        async def change() -> None:
            await steps()
            live.take(settings(tmp_path, settle_s=1, longest_s=2))
            await steps()
            assert (watch.opened, watch.asked[2:]) == (1, (1, 2))
            live.take(settings(tmp_path, settle_s=3, longest_s=4))
            await steps()
            assert (watch.opened, watch.asked[2:]) == (1, (3, 4))
            assert changes.complete
            live.take(settings(tmp_path, enabled=False))
            await steps()
            assert watch.opened == 0
            assert not changes.complete

        await during(changes.run(watch), change())

    asyncio.run(story())


def test_who_waits_for_a_change_looks_up_when_the_settings_are_others(tmp_path: Path) -> None:
    async def story() -> None:
        live = Live(settings(tmp_path))
        changes = Changes(live, files_table(live.now))
        waiting = asyncio.ensure_future(changes.come(within_s=3600))
        await steps()
        live.take(settings(tmp_path, settle_s=1))
        assert not await waiting

    asyncio.run(story())


def test_what_cannot_be_watched_is_told_once_and_its_end_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def whole() -> None:
        changes, watch = scripted(tmp_path)
        watch.reason = "the limit is low"

        async def story() -> None:
            for reason in ("the limit is low", "the limit is low", None):
                watch.reason = reason
                watch.tell("")
                while not await changes.come(within_s=1):
                    pass
            await asyncio.sleep(0)

        await during(changes.run(watch), story())

    caplog.set_level(logging.INFO)
    asyncio.run(whole())
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert said == [
        "the tree is not watched as a whole, the interval finds the rest: the limit is low",
        "the whole tree is watched",
    ]


class Meddling:
    """Threads in which somebody else writes a file, as soon as an apply is at work."""

    def __init__(self, threads: Threads, file: Path) -> None:
        self._threads = threads
        self._file = file

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def meddle() -> T:
            if work.__name__ == "apply":
                self._file.write_text("somebody's")
            return work(*args, **kwargs)

        return await self._threads.run(meddle)


@pytest.mark.parametrize("meddled", [False, True])
def test_what_a_tree_applied_itself_is_no_change_and_what_others_do_meanwhile_or_after_is(
    tmp_path: Path, *, meddled: bool
) -> None:
    async def whole() -> None:
        ports = real_ports()
        threads = Meddling(ports.threads, tmp_path / "worker/tree/other") if meddled else ports.threads
        master = FileTree(Live(settings(tmp_path / "master")), ports.threads)
        worker = FileTree(Live(settings(tmp_path / "worker")), threads)
        (tmp_path / "master/tree/deep").mkdir()
        (tmp_path / "master/tree/deep/file").write_text("content")
        plan = diff((await master.scan()).manifest, (await worker.scan()).manifest, worker.table)
        packer = await master.pack(plan, 1 << 20)
        container = tmp_path / "container"
        container.write_bytes(b"".join(iter(lambda: packer.read(1 << 16), b"")))

        async def story() -> None:
            assert await worker.changes.come(within_s=60)
            assert (await worker.apply(container)).written == 1
            assert await worker.changes.come(within_s=3600 if meddled else 0.5) is meddled
            (tmp_path / "worker/tree/deep/file").write_text("edited")
            assert await worker.changes.come(within_s=60)

        await during(worker.changes.run(ports.watching), story())

    asyncio.run(whole())
