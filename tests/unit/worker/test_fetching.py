"""A bundle is pulled part by part, over one link or several, and what ends it is told by its cause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.steps import Ends, below, fill, two_ends

from outrider.errors import ConnectionLostError, HeldBackError, PeerError, SyncError
from outrider.protocol import generations as g
from outrider.protocol.commands import GEN_READ, Command
from outrider.store.tree import Applied, BundleFeed
from outrider.worker.fetching import Fetch
from outrider.worker.pace import Pace
from outrider.world import ThreadPool

OLD = {"a": b"line\n" * 99, "gone": b"gone\n"}
NEW = {"a": b"line\n" * 98 + b"end\n", "large": Random(1).randbytes(5_000_000), "small": b"small\n"}
PART = g.PART_BYTES
FIRST = Pace().most


class Master:
    """A session whose far end has one bundle: ``packed`` bytes of it so far; it is lost after ``lasts`` answers."""

    def __init__(self, bundle: bytes, *, packed: int | None = None, lasts: int = 10**9) -> None:
        self.offsets: list[int] = []
        self.most_under_way = 0
        self.packed = len(bundle) if packed is None else packed
        self._bundle = bundle
        self._lasts = lasts
        self._under_way: list[asyncio.Future[bytes]] = []

    def request(self, command: Command, payload: bytes) -> asyncio.Future[bytes]:
        assert command is GEN_READ
        self.offsets.append(g.decode_read(payload).offset)
        answer = asyncio.get_running_loop().create_future()
        self._under_way = [one for one in self._under_way if not one.done()] + [answer]
        self.most_under_way = max(self.most_under_way, len(self._under_way))
        asyncio.get_running_loop().call_soon(self._answer, answer, self.offsets[-1])
        return answer

    def _answer(self, answer: asyncio.Future[bytes], offset: int) -> None:
        if answer.done():
            return
        if self._lasts <= 0:
            answer.set_exception(ConnectionLostError("the link is lost"))
            return
        self._lasts -= 1
        answer.set_result(self.part(offset))

    def part(self, offset: int) -> bytes:
        end = min(offset + PART, len(self._bundle))
        if end > self.packed:
            self.packed = len(self._bundle)  # by the next question it has all
            return g.encode_part(b"", last=False)
        return g.encode_part(self._bundle[offset:end], last=end == len(self._bundle))


class Silent(Master):
    """A master that answers two questions and no third; ``taken`` is set when the worker has those two parts."""

    def __init__(self, bundle: bytes) -> None:
        super().__init__(bundle)
        self.taken = asyncio.Event()

    def _answer(self, answer: asyncio.Future[bytes], offset: int) -> None:
        if offset < 2 * PART:
            super()._answer(answer, offset)
        if offset == (FIRST + 3) * PART:  # one for each of the two, and one more for each that came quickly
            self.taken.set()


class Rubbish(Master):
    """A master whose parts are none."""

    def part(self, offset: int) -> bytes:
        return b"?" if offset else super().part(offset)


class Pull:
    """The bundle that a worker is to take, and the fetch of it."""

    def __init__(self, ends: Ends, bundle: bytes, inline: int, **more: Any) -> None:
        old, root = ends.old, ends.new.root
        self.ends, self.bundle = ends, bundle
        self.begun = 0
        feed = BundleFeed()

        def apply() -> Awaitable[Applied]:
            self.begun += 1
            return ends.worker.apply_bundle(feed, old, root, **more)

        ticket = g.ticket_of(bytes.fromhex(old.root), bytes.fromhex(root))
        whole = inline >= len(bundle)
        offer = g.Offer(2, bytes.fromhex(root), b"l" * 16, ticket, bundle[:inline], whole)
        self.fetch = Fetch(offer, feed, apply, ends.ports)

    async def over(self, session: Any) -> Applied:
        return await self.fetch.pull(session)


def story(folder: Path, tell: Callable[[Ends, bytes], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with two_ends(folder, OLD, NEW, ThreadPool(4)) as ends:
            await tell(ends, await ends.known())
            await ends.worker.settled()

    asyncio.run(whole())


def test_a_small_bundle_that_came_with_the_offer_costs_no_question(tmp_path: Path) -> None:
    async def tell(ends: Ends, bundle: bytes) -> None:
        pull = Pull(ends, bundle, len(bundle))
        applied = await pull.over(Master(b""))
        assert applied.manifest is not None
        assert applied.manifest.root == ends.new.root
        assert below(ends.home) == NEW

    story(tmp_path, tell)


def test_parts_are_asked_for_in_order_behind_what_the_offer_brought_and_a_window_of_them_at_a_time(
    tmp_path: Path,
) -> None:
    async def tell(ends: Ends, bundle: bytes) -> None:
        pull, master = Pull(ends, bundle, 1000), Master(bundle)
        await pull.over(master)
        assert master.offsets[:20] == [1000 + PART * number for number in range(20)]
        assert master.most_under_way == FIRST, "each was answered before the next was asked for"
        assert pull.begun == 1
        assert pull.fetch.received == len(bundle)
        assert below(ends.home) == NEW

    story(tmp_path, tell)


def test_a_part_that_is_still_being_packed_is_asked_for_again(tmp_path: Path) -> None:
    async def tell(ends: Ends, bundle: bytes) -> None:
        pull, master = Pull(ends, bundle, 0), Master(bundle, packed=3 * PART + 7)
        await pull.over(master)
        assert master.offsets.count(2 * PART) == 1
        assert master.offsets.count(3 * PART) == 2
        assert below(ends.home) == NEW

    story(tmp_path, tell)


def test_after_a_lost_link_the_next_one_goes_on_where_it_stood(tmp_path: Path) -> None:
    async def tell(ends: Ends, bundle: bytes) -> None:
        pull = Pull(ends, bundle, 5)
        for parts in (3, 0, 9):
            before = pull.fetch.received
            master = Master(bundle, lasts=parts)
            with pytest.raises(ConnectionLostError):
                await pull.over(master)
            assert master.offsets[0] == max(before, 5)
            assert pull.fetch.received == max(before, 5) + parts * PART
            assert below(ends.home) == OLD
        await pull.over(Master(bundle))
        assert pull.begun == 1, "what had come was unpacked once"
        assert below(ends.home) == NEW

    story(tmp_path, tell)


def test_a_caller_that_is_cancelled_loses_no_byte_that_had_come(tmp_path: Path) -> None:
    async def tell(ends: Ends, bundle: bytes) -> None:
        pull, master = Pull(ends, bundle, 0), Silent(bundle)
        pulling = asyncio.create_task(pull.over(master))
        await master.taken.wait()
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling
        next_one = Master(bundle)
        await pull.over(next_one)
        assert next_one.offsets[0] == 2 * PART
        assert below(ends.home) == NEW

    story(tmp_path, tell)


def test_an_apply_that_ends_before_the_bundle_does_is_the_cause_that_is_told(tmp_path: Path) -> None:
    async def tell(ends: Ends, bundle: bytes) -> None:
        with pytest.raises(HeldBackError, match="delete"):
            await Pull(ends, bundle, 0, most_deleted=0).over(Master(bundle))
        assert below(ends.home) == OLD

    story(tmp_path, tell)


def test_a_tree_that_somebody_changed_meanwhile_is_the_cause_too(tmp_path: Path) -> None:
    async def tell(ends: Ends, bundle: bytes) -> None:
        fill(ends.home, {"a": b"mine, and longer\n"})
        with pytest.raises(SyncError, match="tree/a is not what this node last saw there"):
            await Pull(ends, bundle, 0).over(Master(bundle))
        assert below(ends.home)["a"] == b"mine, and longer\n"

    story(tmp_path, tell)


def test_threat_07_a_part_that_is_none_ends_it_and_changes_nothing(tmp_path: Path) -> None:
    async def tell(ends: Ends, bundle: bytes) -> None:
        pull = Pull(ends, bundle, 0)
        with pytest.raises(ValueError, match="no part of a bundle"):
            await pull.over(Rubbish(bundle))
        assert below(ends.home) == OLD
        assert pull.begun == 0, "less had come than is worth a thread"

    story(tmp_path, tell)


def test_threat_29_other_bytes_than_the_bundle_s_end_it_and_change_nothing(tmp_path: Path) -> None:
    async def tell(ends: Ends, bundle: bytes) -> None:
        wrong = bytearray(bundle)
        wrong[-100_000] ^= 1
        with pytest.raises(PeerError):
            await Pull(ends, bundle, 0).over(Master(bytes(wrong)))
        assert below(ends.home) == OLD

    story(tmp_path, tell)


@pytest.mark.parametrize("parts", [0, 2, 15])
def test_what_is_given_up_leaves_the_tree_as_it_was(tmp_path: Path, parts: int) -> None:
    async def tell(ends: Ends, bundle: bytes) -> None:
        pull = Pull(ends, bundle, 100)
        with pytest.raises(ConnectionLostError):
            await pull.over(Master(bundle, lasts=parts))
        assert pull.begun == (parts > 3), "with a megabyte the apply begins"
        await pull.fetch.give_up()
        assert below(ends.home) == OLD
        await Pull(ends, bundle, 0).over(Master(bundle))
        assert below(ends.home) == NEW

    story(tmp_path, tell)
