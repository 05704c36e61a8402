"""Bundles are packed once and read by many, from memory or from a file; the shelf keeps within its bytes."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from outrider.errors import StoreError, SyncError
from outrider.store.shelf import Packing, Shelf
from outrider.world import ThreadPool

_MIB = 1 << 20


class Parts:
    """Hands out what it is given, each part only when the test lets it."""

    def __init__(self, *parts: bytes, error: Exception | None = None) -> None:
        self.parts = list(parts)
        self.error = error
        self.let = threading.Semaphore(0)
        self.closed = threading.Event()
        self.unpacked = 10 * sum(map(len, parts))

    def free(self) -> Parts:
        """Let all parts go."""
        self.let.release(len(self.parts) + 1)
        return self

    def read(self, size: int) -> bytes:
        assert self.let.acquire(timeout=30)
        if self.parts:
            assert len(self.parts[0]) <= size
            return self.parts.pop(0)
        if self.error is not None:
            raise self.error
        return b""

    def close(self) -> None:
        self.closed.set()


def making(packing: Packing, made: list[Packing] | None = None) -> Callable[[], Awaitable[Packing]]:
    async def make() -> Packing:
        if made is not None:
            made.append(packing)
        return packing

    return make


def run(folder: Path, story: Callable[[Shelf], Awaitable[None]], most_bytes: int = 64 * _MIB) -> None:
    async def whole() -> None:
        shelf = Shelf(folder / "bundles", ThreadPool(4), most_bytes=lambda: most_bytes)
        await shelf.open()
        try:
            await story(shelf)
        finally:
            await shelf.close()
        assert list((folder / "bundles").iterdir()) == []

    asyncio.run(whole())


def test_a_small_bundle_stays_in_memory(tmp_path: Path) -> None:
    async def story(shelf: Shelf) -> None:
        bundle = await shelf.get_or_pack(b"t", making(Parts(b"abc", b"def").free()))
        assert await bundle.read(0, 100, within_s=30) == (b"abcdef", True)
        assert await bundle.read(2, 2, within_s=30) == (b"cd", False)
        assert await bundle.read(6, 10, within_s=30) == (b"", True)
        assert await bundle.read(60, 10, within_s=30) == (b"", True)
        assert list((tmp_path / "bundles").iterdir()) == []
        assert bundle.unpacked == 60

    run(tmp_path, story)


def test_a_large_bundle_lies_in_a_file_whole(tmp_path: Path) -> None:
    parts = [bytes([number]) * 50_000 for number in range(9)]

    async def story(shelf: Shelf) -> None:
        bundle = await shelf.get_or_pack(b"t", making(Parts(*parts).free()))
        assert await bundle.read(0, _MIB, within_s=30) == (b"".join(parts), True)
        assert (tmp_path / "bundles" / b"t".hex()).read_bytes() == b"".join(parts)

    run(tmp_path, story)


def test_readers_follow_while_it_is_packed_and_it_is_packed_once(tmp_path: Path) -> None:
    packing = Parts(b"a" * _MIB, b"b" * _MIB)
    made: list[Packing] = []

    async def story(shelf: Shelf) -> None:
        one, two = await asyncio.gather(*(shelf.get_or_pack(b"t", making(packing, made)) for _ in range(2)))
        assert one is two
        assert made == [packing]
        early = asyncio.ensure_future(one.read(0, _MIB, within_s=30))
        packing.let.release()
        assert await early == (b"a" * _MIB, False)
        assert await one.read(_MIB, _MIB, within_s=0) == (b"", False)
        packing.free()
        assert await two.read(_MIB, _MIB + 1, within_s=30) == (b"b" * _MIB, True)

    run(tmp_path, story)
    assert packing.closed.is_set()


def test_what_ends_the_packing_reaches_the_reader_and_the_next_try_packs_anew(tmp_path: Path) -> None:
    async def story(shelf: Shelf) -> None:
        bundle = await shelf.get_or_pack(b"t", making(Parts(b"a", error=SyncError("it changed")).free()))
        with pytest.raises(SyncError, match="it changed"):
            await bundle.read(0, 10, within_s=30)
        assert shelf.get(b"t") is None
        again = await shelf.get_or_pack(b"t", making(Parts(b"fine").free()))
        assert await again.read(0, 10, within_s=30) == (b"fine", True)

    run(tmp_path, story)


def test_what_was_read_longest_ago_makes_room(tmp_path: Path) -> None:
    async def story(shelf: Shelf) -> None:
        for name in (b"1", b"2"):
            bundle = await shelf.get_or_pack(name, making(Parts(name * _MIB).free()))
            await bundle.read(0, 2 * _MIB, within_s=30)
        assert shelf.get(b"1") is not None
        await shelf.get_or_pack(b"3", making(Parts(b"3").free()))
        assert shelf.get(b"2") is None
        assert shelf.get(b"1") is not None

    run(tmp_path, story, most_bytes=_MIB)


def test_threat_47_a_bundle_that_is_whole_holds_no_descriptor_and_nothing_of_what_it_was_packed_from(
    tmp_path: Path,
) -> None:
    async def story(shelf: Shelf) -> None:
        before = open_files(tmp_path)
        parts = Parts(b"a" * _MIB).free()
        packed_from = weakref.ref(parts)
        bundle = await shelf.get_or_pack(b"t", making(parts))
        del parts
        assert await bundle.read(0, 2 * _MIB, within_s=30) == (b"a" * _MIB, True)
        await asyncio.wait([bundle._task])
        assert open_files(tmp_path) == before == []
        gc.collect()
        assert packed_from() is None

    run(tmp_path, story)


def test_threat_47_however_small_bundles_are_the_shelf_keeps_a_bounded_number(tmp_path: Path) -> None:
    async def story(shelf: Shelf) -> None:
        for number in range(150):
            bundle = await shelf.get_or_pack(b"%d" % number, making(Parts(b"x").free()))
            await bundle.read(0, 1, within_s=30)
        assert len(shelf._bundles) == 128
        assert shelf.get(b"0") is None
        assert shelf.get(b"149") is not None

    run(tmp_path, story)


def open_files(folder: Path) -> list[str]:
    """What this process has open below a folder."""
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [target for target in links if target.startswith(str(folder))]


def test_a_folder_that_cannot_be_made_has_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    shelf = Shelf(tmp_path / "file" / "bundles", ThreadPool(1), most_bytes=lambda: 1)
    with pytest.raises(StoreError, match="cannot prepare"):
        asyncio.run(shelf.open())


def test_leftovers_of_an_earlier_run_are_gone(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "left").write_text("over")

    async def story(_: Shelf) -> None:
        assert list((tmp_path / "bundles").iterdir()) == []

    run(tmp_path, story)
