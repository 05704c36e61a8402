"""Sending: announce, parts in a window, end; and every way in which it ends early."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from random import Random

import pytest
from tests.support.channels import Pair, Serve, pair, refuse, say
from tests.support.loop import run

from outrider.errors import ConnectionLostError, Refusal, RefusedByPeer, StoreError
from outrider.exchange.pending import Pending
from outrider.exchange.sending import Opening, Result, Sender, Sent
from outrider.exchange.tasks import Tasks
from outrider.protocol import commands as c
from outrider.protocol.bodies import TaskFault, TransferPath
from outrider.protocol.commands import Command
from outrider.settings import Live, Settings
from outrider.transport.answers import Reply

OPENING = Opening(c.INTEGRITY_SYNC, c.INTEGRITY_SYNC_END, c.INTEGRITY_SYNC_ERROR)
PATH = TransferPath("worker1", "a.zip")
PART = 256 * 1024


class Bytes:
    """A source in memory; ``fails`` after so many reads."""

    def __init__(self, data: bytes, fails: int | None = None) -> None:
        self._data, self._fails = data, fails
        self.closed = 0

    def read(self, size: int) -> bytes:
        if self._fails == 0:
            raise StoreError("the disk is gone")
        if self._fails is not None:
            self._fails -= 1
        part, self._data = self._data[:size], self._data[size:]
        return part

    def close(self) -> None:
        self.closed += 1


class Desk:
    """A sender, and a far side that takes everything unless told otherwise."""

    def __init__(self, both: Pair, tasks: Tasks, window: int) -> None:
        self.both, self.tasks = both, tasks
        live = Live(Settings.from_mapping({"link.window": window}))
        self.sender = Sender(both.near.channel, tasks, both.near.ports, live)

    async def result(self, result: Result) -> bytes:
        """What the sender says became of a result."""
        heard: Pending[bytes] = Pending()
        self.sender.result(result, heard.settle)
        return await heard

    @property
    def asked(self) -> list[str]:
        return [name for name, _ in self.both.far.requests]

    def payloads(self, name: str) -> list[bytes]:
        return [payload for asked, payload in self.both.far.requests if asked == name]


async def desk(serves: Mapping[Command, Serve] | None = None, *, window: int = 16) -> Desk:
    table: dict[Command, Serve] = {
        c.INTEGRITY_SYNC: say(b"task"),
        c.INTEGRITY_SYNC_END: say(b""),
        c.INTEGRITY_SYNC_ERROR: say(b""),
        c.NEW_FILE: say(b""),
        c.FILE_UPD: say(b""),
        c.FILE_END: say(b""),
        c.NEW_STR: say(b"77"),
        c.STR_UPD: say(b""),
        **(serves or {}),
    }
    return Desk(await pair(far=table), Tasks(Random(1), lambda: 64), window)


def test_a_file_is_announced_sent_in_parts_summed_and_ended() -> None:
    async def story() -> None:
        at = await desk()
        data = Random(1).randbytes(3 * PART + 5)
        source = Bytes(data)
        sent = await at.sender.container(source, OPENING, PATH)
        assert sent == Sent(len(data), sent.seconds, cancelled=False)
        assert at.asked == ["syn_m_c", "new_file", *["file_upd"] * 4, "file_end", "syn_m_c_e"]
        parts = [payload.removeprefix(PATH.rooted + b" ") for payload in at.payloads("file_upd")]
        assert b"".join(parts) == data
        assert max(len(part) for part in parts) == PART
        assert at.payloads("file_end") == [PATH.rooted + b" " + hashlib.sha256(data).digest()]
        assert at.payloads("syn_m_c_e") == [b"task queue/cluster/worker1/a.zip"]
        assert source.closed == 1

    run(story())


def test_an_empty_file_is_sent_too() -> None:
    async def story() -> None:
        at = await desk()
        assert (await at.sender.container(Bytes(b""), OPENING, PATH)).size == 0
        assert at.asked == ["syn_m_c", "new_file", "file_end", "syn_m_c_e"]

    run(story())


def test_the_window_opens_while_answers_are_quick_and_closes_when_they_are_slow() -> None:
    async def most_under_way(seconds: float, window: int = 16) -> int:
        under_way = most = 0

        async def take(_: bytes) -> Reply:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(seconds)
            under_way -= 1
            return Reply(b"")

        at = await desk({c.FILE_UPD: take}, window=window)
        await at.sender.container(Bytes(bytes(60 * PART)), OPENING, PATH)
        return most

    async def story() -> None:
        assert await most_under_way(0.5) == 16
        assert await most_under_way(3) == 2
        assert await most_under_way(6) == 2
        assert await most_under_way(0.5, window=1) == 1

    run(story())


def test_a_peer_that_lost_interest_gets_no_more_parts_but_the_end_by_which_it_removes_the_file() -> None:
    async def story() -> None:
        at = await desk({c.INTEGRITY_SYNC_END: refuse(3027)})

        def cancel(payload: bytes) -> Reply:
            at.tasks.cancel(b"task")
            return Reply(payload)

        at.both.far.serves[c.FILE_UPD] = cancel
        sent = await at.sender.container(Bytes(bytes(100 * PART)), OPENING, PATH)
        assert sent.cancelled
        assert sent.size < 5 * PART
        parts = [payload.removeprefix(PATH.rooted + b" ") for payload in at.payloads("file_upd")]
        assert at.payloads("file_end") == [PATH.rooted + b" " + hashlib.sha256(b"".join(parts)).digest()]
        assert at.asked[-2:] == ["file_end", "syn_m_c_e"]

    run(story())


@pytest.mark.parametrize("refused", [c.NEW_FILE, c.FILE_UPD, c.FILE_END, c.INTEGRITY_SYNC_END])
def test_a_step_that_is_refused_ends_the_send_and_the_peer_is_told(refused: Command) -> None:
    async def story() -> None:
        at = await desk({refused: refuse(1000)})
        source = Bytes(bytes(50 * PART))
        with pytest.raises(RefusedByPeer):
            await at.sender.container(source, OPENING, PATH)
        (told,) = at.payloads("syn_m_c_r")
        assert TaskFault.decode(told).task == b"task"
        assert source.closed == 1
        assert at.tasks._sending == {}

    run(story())


def test_a_source_that_fails_ends_the_send_and_the_peer_is_told() -> None:
    async def story() -> None:
        at = await desk()
        source = Bytes(bytes(50 * PART), fails=3)
        with pytest.raises(StoreError):
            await at.sender.container(source, OPENING, PATH)
        assert TaskFault.decode(at.payloads("syn_m_c_r")[0]).fault.detail == "the disk is gone"
        assert source.closed == 1

    run(story())


def test_a_link_that_is_lost_ends_the_send_and_leaves_no_unheard_error() -> None:
    async def story() -> None:
        at = await desk()
        at.both.far.channel.hold("slow")
        source = Bytes(bytes(50 * PART))
        sending = asyncio.ensure_future(at.sender.container(source, OPENING, PATH))
        at.both.far.channel.release("slow")
        await asyncio.sleep(0.02)
        at.both.fabric.cut("near")
        with pytest.raises(ConnectionLostError):
            await sending
        assert source.closed == 1

    run(story())


def test_a_send_that_is_cancelled_says_so_at_once_and_leaves_nothing_under_way() -> None:
    async def story() -> None:
        async def slowly(_: bytes) -> Reply:
            await asyncio.sleep(5)
            return Reply(b"")

        at = await desk({c.FILE_UPD: slowly})
        source = Bytes(bytes(50 * PART))
        sending = asyncio.ensure_future(at.sender.container(source, OPENING, PATH))
        await asyncio.sleep(1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert asyncio.get_running_loop().time() < 1.1
        await asyncio.sleep(1)
        assert TaskFault.decode(at.payloads("syn_m_c_r")[0]).task == b"task"
        await asyncio.sleep(5)
        assert at.both.near.channel._answers == {}
        assert source.closed == 1

    run(story())


def test_a_string_is_sent_in_parts_under_the_peer_s_id() -> None:
    async def story() -> None:
        at = await desk()
        data = Random(2).randbytes(2 * PART + 1)
        assert await at.sender.string(data) == b"77"
        assert at.payloads("new_str") == [str(len(data)).encode()]
        assert b"".join(payload.removeprefix(b"77 ") for payload in at.payloads("str_upd")) == data

    run(story())


def test_a_string_that_is_refused_raises() -> None:
    def full(_: bytes) -> Reply:
        raise Refusal(1000, "full")

    async def story() -> None:
        at = await desk({c.STR_UPD: full})
        with pytest.raises(RefusedByPeer, match="full"):
            await at.sender.string(bytes(40 * PART))

    run(story())


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, PART, 2 * PART + 1])
def test_a_result_is_a_string_and_the_command_that_names_it(size: int) -> None:
    async def story() -> None:
        at = await desk({c.DAPI_RESULT: say(b"thanks")})
        assert await at.result(Result(b"r" * size, c.DAPI_RESULT, b"id ")) == b"thanks"
        assert at.asked == ["new_str", *["str_upd"] * -(-size // PART), "dapi_res"]
        assert b"".join(payload.removeprefix(b"77 ") for payload in at.payloads("str_upd")) == b"r" * size
        assert at.payloads("dapi_res") == [b"id 77"]

    run(story())


def test_a_small_result_leaves_with_the_command_that_names_it_and_a_refusal_of_either_is_told() -> None:
    def no(_: bytes) -> Reply:
        raise Refusal(1000, "no")

    async def story() -> None:
        at = await desk({c.STR_UPD: no, c.DAPI_RESULT: no})
        with pytest.raises(RefusedByPeer, match="no"):
            await at.result(Result(b"small", c.DAPI_RESULT))
        assert at.asked == ["new_str", "str_upd", "dapi_res"]
        at = await desk({c.DAPI_RESULT: no})
        with pytest.raises(RefusedByPeer, match="no"):
            await at.result(Result(b"small", c.DAPI_RESULT))
        for size in (1, 1025):
            await at.result(Result(b"n" * size, c.DAPI_RESULT, tell=True))  # nobody waits for the answer
        at = await desk({c.NEW_STR: no})
        with pytest.raises(RefusedByPeer, match="no"):
            await at.result(Result(b"small", c.DAPI_RESULT, tell=True))
        assert at.asked == ["new_str"]

    run(story())


def test_with_a_window_of_one_a_result_waits_for_each_answer() -> None:
    async def story() -> None:
        async def later(_: bytes) -> Reply:
            order.append("str_upd is served")
            await asyncio.sleep(1)
            order.append("str_upd is answered")
            return Reply(b"")

        def named(_: bytes) -> Reply:
            order.append("dapi_res is served")
            return Reply(b"thanks")

        order: list[str] = []
        serves: Mapping[Command, Serve] = {c.STR_UPD: later, c.DAPI_RESULT: named}
        await (await desk(serves, window=1)).result(Result(b"small", c.DAPI_RESULT))
        assert order == ["str_upd is served", "str_upd is answered", "dapi_res is served"]
        order.clear()
        await (await desk(serves)).result(Result(b"small", c.DAPI_RESULT))
        await asyncio.sleep(2)
        assert order.index("dapi_res is served") < order.index("str_upd is answered")

    run(story())
