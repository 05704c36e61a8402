"""What the settings say of files is what the tree on disk does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from outrider._native import diff
from outrider.errors import PeerError
from outrider.settings import Live, Settings
from outrider.store.home import Home
from outrider.store.tree import FileTree, inhabited
from outrider.world import real_ports

TABLE = {"tree.files": [{"folder": "tree/", "permissions": 0o604}]}


def settings(home: Path, **more: Any) -> Settings:
    home.mkdir(parents=True, exist_ok=True)
    given = {key.replace("__", "."): value for key, value in more.items()}
    return Settings.from_mapping({"node.home": str(home), **TABLE, **given})


def write(home: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = home / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def lived(settings: Settings, story: Callable[[FileTree], Coroutine[Any, Any, None]]) -> None:
    """Run ``story`` with the tree of a node."""

    async def whole() -> None:
        async with inhabited(Home(settings.node.home), Live(settings), real_ports().threads) as tree:
            await story(tree)

    asyncio.run(whole())


async def container(source: FileTree, target: FileTree, to: Path) -> Path:
    """All that ``target`` lacks, as ``source`` packs it."""
    plan = diff((await source.scan()).manifest, (await target.scan()).manifest, source.table)
    packer = await source.pack(plan, 1 << 30)
    await asyncio.to_thread(to.write_bytes, b"".join(iter(lambda: packer.read(1 << 20), b"")))
    return to


def brought(folder: Path, files: dict[str, bytes], **more: Any) -> Settings:
    """Settings of a worker to which a master has brought these files."""
    write(folder / "master", files)
    own = settings(folder / "worker", **more)

    async def story(tree: FileTree) -> None:
        master = FileTree(Live(settings(folder / "master")), real_ports().threads)
        await tree.apply(await container(master, tree, folder / "container"))
        await tree.sweep()

    lived(own, story)
    return own


def kept(home: Path) -> int:
    """Replaced versions that are still there."""
    return len(list((home / ".outrider/stage").iterdir()))


def test_the_table_says_what_takes_part_and_with_which_mode_it_arrives(tmp_path: Path) -> None:
    own = brought(tmp_path, {"a": b"1", "sub/b": b"2", "no.tmp": b"3", "ossec.conf": b"4"})
    arrived = {path.name: path.stat().st_mode & 0o777 for path in (own.node.home / "tree").rglob("*") if path.is_file()}
    assert arrived == {"a": 0o604, "b": 0o604}


def test_exclusions_are_those_of_the_settings(tmp_path: Path) -> None:
    own = settings(tmp_path, tree__excluded_files=["a"], tree__excluded_extensions=[".b"])
    write(tmp_path, {"a": b"", "x.b": b"", "ossec.conf": b"", "c.tmp": b""})

    async def story(tree: FileTree) -> None:
        assert len((await tree.scan()).manifest) == 2

    lived(own, story)


@pytest.mark.parametrize(("follow", "files"), [(False, 1), (True, 2)])
def test_threat_26_links_are_followed_where_the_settings_say_so(tmp_path: Path, *, follow: bool, files: int) -> None:
    write(tmp_path, {"a": b"1"})
    (tmp_path / "tree/link").symlink_to("a")

    async def story(tree: FileTree) -> None:
        assert len((await tree.scan()).manifest) == files

    lived(settings(tmp_path, tree__follow_links=follow), story)


@pytest.mark.parametrize("versions", [0, 1, 2])
def test_so_many_replaced_versions_stay(tmp_path: Path, versions: int) -> None:
    for content in (b"1", b"2", b"3", b"4"):
        own = brought(tmp_path, {"a": content}, tree__keep_previous=versions)
    assert (own.node.home / "tree/a").read_bytes() == b"4"
    assert kept(own.node.home) == versions


@pytest.mark.parametrize(("total", "sizes"), [(9_000, (4_500, 10)), (4_000, (3_000, 3_000))])
def test_threat_27_a_budget_of_the_settings_refuses_the_whole(
    tmp_path: Path, total: int, sizes: tuple[int, int]
) -> None:
    limits = {"limits__unpacked_file_bytes": 4_000, "limits__unpacked_total_bytes": total}
    with pytest.raises(PeerError, match=r"4000|4,000"):
        brought(tmp_path, {str(number): b"x" * size for number, size in enumerate(sizes)}, **limits)
    assert not (tmp_path / "worker/tree").exists()


def test_threat_48_a_budget_that_is_changed_meanwhile_is_the_one_that_holds(tmp_path: Path) -> None:
    """Refused under the first limits, taken under others, refused again: always by the same tree."""
    write(tmp_path / "master", {"a": b"x" * 4_500})
    small, large = ({"limits__unpacked_file_bytes": size} for size in (4_000, 5_000))

    async def whole() -> None:
        live = Live(settings(tmp_path / "worker", **small))
        async with inhabited(Home(live.now.node.home), live, real_ports().threads) as tree:
            master = FileTree(Live(settings(tmp_path / "master")), real_ports().threads)
            packed = await container(master, tree, tmp_path / "container")
            with pytest.raises(PeerError, match=r"unpacked_file_bytes"):
                await tree.apply(packed)
            live.take(settings(tmp_path / "worker", **large))
            await tree.apply(packed)
            assert (tmp_path / "worker/tree/a").stat().st_size == 4_500
            live.take(settings(tmp_path / "worker", **small))
            with pytest.raises(PeerError, match=r"4000|4,000"):
                await tree.apply(packed)

    asyncio.run(whole())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_applied_files_belong_to_whom_the_settings_name(tmp_path: Path) -> None:
    own = brought(tmp_path, {"a": b"1"}, tree__owner="12345:54321")
    status = (own.node.home / "tree/a").stat()
    assert (status.st_uid, status.st_gid) == (12345, 54321)


def test_the_level_of_the_settings_packs(tmp_path: Path) -> None:
    text = "".join(f"line {number * number} of a text\n" for number in range(20_000)).encode()
    write(tmp_path / "master", {"a": text})
    sizes = []
    for level in (1, 9):
        own = settings(tmp_path / "master", intervals__communication__compress_level=level)
        to = tmp_path / f"container{level}"

        async def story(tree: FileTree, to: Path = to) -> None:
            await container(tree, FileTree(Live(settings(tmp_path / "empty")), real_ports().threads), to)

        lived(own, story)
        sizes.append(to.stat().st_size)
    assert sizes[1] < sizes[0]
