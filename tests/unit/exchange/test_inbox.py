"""Files that arrive: in order, bounded, whole or gone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.support.loop import run
from tests.support.ports import InlineThreads

from outrider.errors import PeerError, Refusal
from outrider.exchange.inbox import Inbox
from outrider.protocol.bodies import TransferPath
from outrider.protocol.commands import ERR, OK, OK_NEW_FILE
from outrider.settings import Limits, Live, Settings
from outrider.transport.answers import Reply

NAME = b"/queue/cluster/worker1/a.zip"
PATH = TransferPath("worker1", "a.zip")


class Desk:
    """An inbox on a folder, with threads that may be slow, and what it asked of the stream."""

    def __init__(self, folder: Path, *, most: int = 8, file_bytes: int = 1000, inflight_bytes: int = 1000) -> None:
        self.folder = folder
        self.threads = InlineThreads()
        self.asked: list[str] = []
        settings = Settings.from_mapping({})
        limits = Limits(open_files=most, file_bytes=file_bytes, inflight_write_bytes=inflight_bytes)
        self.inbox = Inbox(
            self.threads,
            Live(structs.replace(settings, limits=limits)),
            now=asyncio.get_running_loop().time,
            hold=lambda: self.asked.append("hold"),
            release=lambda: self.asked.append("release"),
        )

    async def begin(self, name: bytes = NAME) -> None:
        assert (await self.inbox.begin(name, "worker1", self.folder)).name == OK_NEW_FILE

    async def send(self, data: bytes, name: bytes = NAME) -> None:
        await self.begin(name)
        await self.inbox.extend(name + b" " + data)
        await self.inbox.end(name + b" " + hashlib.sha256(data).digest())

    @property
    def files(self) -> list[str]:
        """Under the names that the peer gave: the number in front is ours."""
        return sorted(path.name.partition("-")[2] for path in self.folder.iterdir())


def with_desk(folder: Path, story: Callable[[Desk], Coroutine[Any, Any, None]], **limits: int) -> None:
    async def whole() -> None:
        await story(Desk(folder, **limits))

    run(whole())


def test_a_file_comes_is_taken_once_and_removed_when_its_taker_is_done(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.send(b"one two")
        file = desk.inbox.take(PATH)
        assert file is not None
        assert file.read_bytes() == b"one two"
        assert desk.inbox.take(PATH) is None
        await desk.inbox.remove(file)
        await desk.inbox.remove(file)
        assert desk.files == []

    with_desk(tmp_path, story)


def test_parts_that_come_faster_than_the_disk_are_written_in_order_and_together(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.begin()
        desk.threads.seconds = 1
        parts = [b"%d," % number for number in range(100)]
        calls = len(desk.threads.calls)
        answers = await asyncio.gather(*(desk.inbox.extend(NAME + b" " + part) for part in parts))
        assert {answer.name for answer in answers} == {OK}
        assert len(desk.threads.calls) - calls <= 2
        assert (await desk.inbox.end(NAME + b" " + hashlib.sha256(b"".join(parts)).digest())).name == OK
        file = desk.inbox.take(PATH)
        assert file is not None
        assert file.read_bytes() == b"".join(parts)

    with_desk(tmp_path, story)


def test_more_in_flight_than_allowed_stops_the_reading_until_half_is_written(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.begin()
        desk.threads.seconds = 1
        writing = [asyncio.ensure_future(desk.inbox.extend(NAME + b" " + b"x" * 40)) for _ in range(3)]
        await asyncio.sleep(0.5)
        assert desk.asked[-1] == "hold"
        await asyncio.gather(*writing)
        assert desk.asked[-1] == "release"

    with_desk(tmp_path, story, inflight_bytes=100)


def test_threat_23_of_whole_files_that_nobody_comes_for_the_oldest_goes(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        for name in ("a", "b", "c"):
            await desk.send(b"x", f"/queue/cluster/worker1/{name}.zip".encode())
        assert desk.files == ["b.zip", "c.zip"]

    with_desk(tmp_path, story, most=2)


def test_threat_23_files_begun_and_ended_faster_than_the_disk_stop_the_reading(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.threads.seconds = 1
        empty = NAME + b" " + hashlib.sha256(b"").digest()
        requests: list[Coroutine[Any, Any, Reply]] = []
        for _ in range(1100):
            requests += [desk.inbox.begin(NAME, "worker1", desk.folder), desk.inbox.end(empty)]
        working = asyncio.gather(*requests)
        await asyncio.sleep(0.5)
        assert set(desk.asked) == {"hold"}
        await working
        assert desk.asked[-1] == "release"
        assert desk.files == ["a.zip"]

    with_desk(tmp_path, story)


def test_another_sum_is_an_error_answer_and_no_file(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.begin()
        await desk.inbox.extend(NAME + b" data")
        answer = await desk.inbox.end(NAME + b" " + b"\0" * 32)
        assert answer.name == ERR
        assert b"Checksums aren't equal" in answer.payload
        assert not desk.inbox.take(PATH)
        assert desk.files == []

    with_desk(tmp_path, story)


def test_parts_of_no_file_and_files_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        for refused in (desk.inbox.extend(NAME + b" x"), desk.inbox.end(NAME + b" " + b"\0" * 32)):
            with pytest.raises(Refusal):
                await refused
        await desk.begin(NAME + b"1")
        await desk.begin(NAME + b"1")
        with pytest.raises(Refusal, match=r"limits\.open_files"):
            await desk.begin(NAME + b"2")

    with_desk(tmp_path, story, most=1)


@pytest.mark.parametrize(
    "name", [b"/etc/passwd", b"/queue/cluster/worker2/a", b"/queue/cluster/worker1/../b", b"a", b""]
)
def test_a_path_outside_the_worker_s_folder_is_refused_before_anything_is_made(tmp_path: Path, name: bytes) -> None:
    async def story(desk: Desk) -> None:
        with pytest.raises(Refusal):
            await desk.inbox.begin(name, "worker1", tmp_path)
        assert desk.files == []

    with_desk(tmp_path, story)


def test_beginning_a_file_again_forgets_what_came(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.send(b"old")
        await desk.begin()
        assert not desk.inbox.take(PATH)
        await desk.send(b"new")
        file = desk.inbox.take(PATH)
        assert file is not None
        assert file.read_bytes() == b"new"
        assert desk.files == ["a.zip"]

    with_desk(tmp_path, story)


def test_a_file_that_is_in_use_is_not_touched_by_the_next_of_its_name(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.send(b"precious")
        used = desk.inbox.take(PATH)
        await desk.send(b"next")
        assert used is not None
        assert used.read_bytes() == b"precious"
        await desk.inbox.remove(used)
        file = desk.inbox.take(PATH)
        assert file is not None
        assert file.read_bytes() == b"next"

    with_desk(tmp_path, story)


def test_files_of_one_name_that_end_together_leave_one(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.threads.seconds = 1
        empty = NAME + b" " + hashlib.sha256(b"").digest()
        requests: list[Coroutine[Any, Any, Reply]] = []
        for _ in range(3):
            requests += [desk.inbox.begin(NAME, "worker1", desk.folder), desk.inbox.end(empty)]
        answers = await asyncio.gather(*requests)
        assert [answer.name for answer in answers] == [OK_NEW_FILE, OK] * 3
        await desk.inbox.settled(PATH)
        assert desk.files == ["a.zip"]
        assert desk.inbox.take(PATH)
        await desk.inbox.abandon()
        assert desk.files == []

    with_desk(tmp_path, story)


def test_a_file_over_the_limit_is_given_up_the_peer_hears_why_and_the_log_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(desk: Desk) -> None:
        await desk.begin()
        part = NAME + b" " + b"x" * 600
        answers = await asyncio.gather(*(desk.inbox.extend(part) for _ in range(4)), return_exceptions=True)
        assert isinstance(answers[0], Reply)
        assert isinstance(answers[1], Refusal)
        assert answers[1].detail == "1-a.zip is over the limit of 1000 bytes (limits.file_bytes)"
        assert [type(answer) for answer in answers[2:]] == [PeerError, PeerError]
        assert caplog.messages == [answers[1].detail]
        assert desk.files == []
        assert (await desk.inbox.end(NAME + b" " + hashlib.sha256(b"").digest())).name == ERR

    with_desk(tmp_path, story)


def test_files_whose_sender_gave_up_make_room_for_the_next(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.begin(NAME + b"1")
        await desk.send(b"never asked for", NAME + b"2")
        await desk.send(b"in use", NAME + b"3")
        desk.inbox.take(TransferPath("worker1", "a.zip3"))
        await asyncio.sleep(100)
        await desk.begin(NAME + b"4")
        with pytest.raises(Refusal, match=r"limits\.open_files"):
            await desk.begin(NAME + b"5")
        await asyncio.sleep(30)
        await desk.begin(NAME + b"5")
        assert desk.files == ["a.zip3", "a.zip4", "a.zip5"]

    with_desk(tmp_path, story, most=2)


def test_when_the_connection_is_gone_while_files_are_removed_none_of_them_stays(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.send(b"replaced")
        desk.threads.seconds = 1
        beginning = asyncio.ensure_future(desk.inbox.begin(NAME, "worker1", desk.folder))
        await asyncio.sleep(1.5)
        beginning.cancel()
        await desk.inbox.abandon()
        assert desk.files == []

    with_desk(tmp_path, story)


def test_when_the_connection_is_gone_nothing_stays_open_ending_whole_or_taken(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.send(b"whole", NAME + b"1")
        await desk.send(b"taken", NAME + b"2")
        desk.inbox.take(TransferPath("worker1", "a.zip2"))
        await desk.begin(NAME + b"3")
        await desk.begin(NAME + b"4")
        desk.threads.seconds = 1
        ending = asyncio.ensure_future(desk.inbox.end(NAME + b"4 " + hashlib.sha256(b"").digest()))
        await asyncio.sleep(0.5)
        ending.cancel()
        assert desk.files == ["a.zip1", "a.zip2", "a.zip3", "a.zip4"]
        await desk.inbox.abandon()
        assert desk.files == []
        await desk.inbox.abandon()

    with_desk(tmp_path, story)
