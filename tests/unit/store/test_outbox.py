"""The outbox: what is in it survives everything, in order, until it is confirmed or put aside."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.ports import InlineThreads
from tests.support.sqlite_store import with_a_name_that_is_no_text

from outrider.errors import StoreBusyError, StoreError
from outrider.store.outbox import FILE, Outbox, PutAside, look, outbox_of
from outrider.world import ThreadPool

Story = Callable[[Outbox], Awaitable[None]]


def with_outbox(home: Path, story: Story) -> None:
    async def whole() -> None:
        async with outbox_of(home, ThreadPool()) as outbox:
            await story(outbox)

    asyncio.run(whole())


async def texts(outbox: Outbox) -> list[bytes]:
    return [chunk.text for chunk in await outbox.oldest(1000)]


def test_chunks_stay_in_the_order_in_which_they_were_put_until_confirmed(tmp_path: Path) -> None:
    async def first(outbox: Outbox) -> None:
        await outbox.put([b"[1]", b"[2]"])
        await outbox.put([b"[3]"])
        await outbox.confirmed(await outbox.oldest(1))

    async def later(outbox: Outbox) -> None:
        assert await texts(outbox) == [b"[2]", b"[3]"]
        assert await outbox.count() == 2
        await outbox.confirmed(await outbox.oldest(2))
        await outbox.put([b"[4]"])
        assert await texts(outbox) == [b"[4]"]

    with_outbox(tmp_path, first)
    with_outbox(tmp_path, later)


def test_the_halves_of_a_chunk_keep_its_place_down_to_the_last_record(tmp_path: Path) -> None:
    async def story(outbox: Outbox) -> None:
        numbers = list(range(2000))
        await outbox.put([b"[-1]", b"[" + b",".join(b"%d" % one for one in numbers) + b"]", b"[-2]"])
        while several := [chunk for chunk in await outbox.oldest(3000) if b"," in chunk.text]:
            await outbox.split(several[0])
        await outbox.put([b"[-3]"])
        assert await outbox.count() == 2003
        assert [chunk.text for chunk in await outbox.oldest(3000)] == [b"[%d]" % one for one in (-1, *numbers, -2, -3)]

    with_outbox(tmp_path, story)


def test_what_is_put_aside_leaves_the_row_and_can_be_looked_at(tmp_path: Path) -> None:
    record = b'{"id":7,"name":"x"}'

    async def story(outbox: Outbox) -> None:
        await outbox.put([b"[" + record + b"]", b"[2]"])
        await outbox.put_aside([PutAside(record, "it will not do", 5.0)], (await outbox.oldest(1))[0])
        assert await texts(outbox) == [b"[2]"]
        assert await outbox.count_aside() == 1
        assert await outbox.aside() == look(tmp_path) == [PutAside(record, "it will not do", 5.0)]
        await outbox.put_aside([PutAside(b'{"id":7}', "again", 6.0), PutAside(b'{"id":3}', "too", 6.0)])
        assert [(one.record, one.why) for one in look(tmp_path)] == [(b'{"id":3}', "too"), (b'{"id":7}', "again")]

    assert look(tmp_path) == []
    with_outbox(tmp_path, story)
    assert len(look(tmp_path)) == 2


def test_only_an_orderly_end_with_nothing_lost_makes_the_next_start_a_quiet_one(tmp_path: Path) -> None:
    def opened() -> Outbox:
        outbox = Outbox(tmp_path, InlineThreads())
        outbox.open()
        return outbox

    outbox = opened()
    assert outbox.all_again  # there was no outbox at all
    outbox.close(orderly=True)
    outbox = opened()
    assert outbox.all_again  # nobody has seen to it
    outbox.all_again = False
    outbox.close(orderly=True)
    outbox = opened()
    assert not outbox.all_again
    crashed = opened()  # the first one never closed
    assert crashed.all_again
    crashed.all_again = False
    crashed.close(orderly=False)
    assert opened().all_again
    outbox.close(orderly=True)


def test_agents_that_were_on_their_way_when_something_failed_are_to_be_sent_again(tmp_path: Path) -> None:
    async def fails() -> None:
        raise StoreBusyError("locked")

    async def story(outbox: Outbox) -> None:
        outbox.all_again = False
        with pytest.raises(StoreBusyError):
            await outbox.bring(fails)
        assert outbox.all_again

    with_outbox(tmp_path, story)


def test_what_is_being_brought_comes_to_its_end_though_its_caller_is_cancelled(tmp_path: Path) -> None:
    async def whole() -> None:
        async with outbox_of(tmp_path, ThreadPool()) as outbox:
            outbox.all_again = False

            async def slow() -> None:
                await asyncio.sleep(0.05)
                await outbox.put([b"[1]"])

            caller = asyncio.create_task(outbox.bring(slow))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            caller.cancel()
        async with outbox_of(tmp_path, ThreadPool()) as outbox:
            assert not outbox.all_again
            assert await texts(outbox) == [b"[1]"]

    asyncio.run(whole())


def test_a_damaged_file_makes_room_for_a_new_one_and_everything_is_sent_again(tmp_path: Path) -> None:
    (tmp_path / ".outrider").mkdir()
    (tmp_path / FILE).write_bytes(b"no database " * 1000)

    async def story(outbox: Outbox) -> None:
        assert outbox.all_again
        assert outbox.damaged is not None
        assert outbox.damaged.read_bytes().startswith(b"no database")
        await outbox.put([b"[1]"])

    with_outbox(tmp_path, story)


def _rubbish_in_a_chunk(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("update chunks set packed = x'00ff'")


def _rubbish_in_the_file(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("select rootpage from sqlite_schema where name = 'chunks'").fetchone()
        (size,) = db.execute("pragma page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


def test_threat_40_a_schema_that_sqlite_cannot_put_into_words_makes_room(tmp_path: Path) -> None:
    async def before(outbox: Outbox) -> None:
        await outbox.put([b"[1]"])

    async def after(outbox: Outbox) -> None:
        assert outbox.damaged == tmp_path / ".outrider/outbox.db.damaged"
        assert outbox.all_again
        assert await texts(outbox) == []

    with_outbox(tmp_path, before)
    with_a_name_that_is_no_text(tmp_path / FILE)
    with_outbox(tmp_path, after)


@pytest.mark.parametrize("damage", [_rubbish_in_a_chunk, _rubbish_in_the_file])
def test_damage_that_is_found_in_use_makes_room_as_well(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    async def before(outbox: Outbox) -> None:
        outbox.all_again = False
        await outbox.put([b"[1]"])

    async def after(outbox: Outbox) -> None:
        assert not outbox.all_again
        with pytest.raises(StoreError, match=r"is damaged .* is now .*outbox\.db\.damaged; all agents are sent again"):
            await outbox.oldest(1)
        assert await texts(outbox) == []
        await outbox.put([b"[2]"])
        assert await texts(outbox) == [b"[2]"]
        assert outbox.damaged == tmp_path / ".outrider/outbox.db.damaged"
        assert vars(outbox)["all_again"]

    with_outbox(tmp_path, before)
    damage(tmp_path / FILE)
    with_outbox(tmp_path, after)


def test_a_locked_file_may_work_later_and_a_closed_one_says_so(tmp_path: Path) -> None:
    async def story(outbox: Outbox) -> None:
        assert outbox._db is not None
        outbox._db.execute("pragma busy_timeout = 1")
        other = sqlite3.connect(tmp_path / FILE)
        other.execute("begin immediate")
        with pytest.raises(StoreBusyError, match="locked"):
            await outbox.put([b"[1]"])
        other.close()
        await outbox.put([b"[2]"])
        assert await texts(outbox) == [b"[2]"]

    with_outbox(tmp_path, story)
    with pytest.raises(StoreError, match="closed"):
        asyncio.run(Outbox(tmp_path, InlineThreads()).count())
