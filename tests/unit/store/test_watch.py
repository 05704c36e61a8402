"""Real folders, watched by a real thread."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from outrider._native import FileRule, FilesTable, Watcher
from outrider.errors import StoreError
from outrider.store.watch import WatchedFolders

TABLE = FilesTable([FileRule("tree/")])
LIMITED = """
import sys
from outrider._native import FileRule, FilesTable, Watcher
watcher = Watcher(sys.argv[1], FilesTable([FileRule("tree/")]))
open(sys.argv[1] + "/tree/file", "w").close()
burst = watcher.wait(1.0)
print(watcher.reason, "|", burst and burst.lost)
"""


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("outrider watch")]


def test_bursts_come_while_the_block_lasts_and_its_thread_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()

    async def story() -> None:
        async with WatchedFolders().open(tmp_path, TABLE, settle_s=0.01, longest_s=0.2) as bursts:
            (running,) = [thread for thread in threading.enumerate() if thread.name.startswith("outrider watch")]
            for name in ("a", "b"):
                waiting = asyncio.ensure_future(bursts.next())
                await asyncio.sleep(0)
                (tmp_path / "tree" / name).write_text("content")
                burst = await waiting
                assert (burst.folders, burst.lost) == (["tree"], False)
            assert bursts.reason is None
            bursts.begin()
            (tmp_path / "tree" / "somebody").write_text("content")
            bursts.end(None)
            assert (await bursts.next()).folders == ["tree"]
            waiting = asyncio.ensure_future(bursts.next())
            (tmp_path / "tree" / "sub").mkdir()
            (tmp_path / "tree" / "sub" / "c").write_text("content")
            assert "tree" in (await waiting).folders
            waiting = asyncio.ensure_future(bursts.next())
            await asyncio.sleep(0)
            waiting.cancel()
        await asyncio.to_thread(running.join, 60)
        assert threads() == []

    asyncio.run(story())


def test_a_home_that_is_not_there_is_told_and_leaves_no_thread(tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(StoreError, match="cannot open"):
            async with WatchedFolders().open(tmp_path / "none", TABLE, settle_s=0.01, longest_s=0.2):
                pytest.fail("it was entered")

    asyncio.run(story())


@pytest.mark.parametrize(
    "wrong", [lambda watcher: watcher.wait(-1.0), lambda watcher: watcher.wait(float("nan"))], ids=["minus", "nan"]
)
def test_a_time_that_is_none_is_refused(tmp_path: Path, wrong: Callable[[Watcher], object]) -> None:
    with pytest.raises(ValueError, match="not between 0 and a day"):
        wrong(Watcher(str(tmp_path), TABLE))


def limited(limit: str, most: int, home: Path) -> str:
    """What a watcher says that runs where the system's ``limit`` is ``most``."""
    shell = f'echo {most} > /proc/sys/user/{limit} && exec "$0" "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", shell, sys.executable, "-c", LIMITED, str(home)]
    try:
        done = subprocess.run(command, capture_output=True, check=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no limit can be set here: {getattr(error, 'stderr', error)}")
    return done.stdout.strip()


def test_where_watches_run_out_the_reason_names_the_limit_and_bursts_say_that_more_may_have_changed(
    tmp_path: Path,
) -> None:
    for number in range(5):
        (tmp_path / "tree" / str(number)).mkdir(parents=True)
    said = limited("max_inotify_watches", 3, tmp_path)
    assert "need more than fs.inotify.max_user_watches" in said
    assert "sysctl fs.inotify.max_user_watches=1048576" in said
    assert said.endswith("| True")


def test_where_there_is_no_queue_the_reason_names_the_limit_and_no_burst_comes(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    said = limited("max_inotify_instances", 0, tmp_path)
    assert "sysctl fs.inotify.max_user_instances=" in said
    assert said.endswith("| None")
