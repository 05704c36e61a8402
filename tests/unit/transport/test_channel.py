"""The channel: futures, timers, errors as answers, backpressure both ways, and an end that always comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from tests.support.channels import Pair, pair
from tests.support.loop import run

from outrider.errors import (
    ConnectionLostError,
    RequestTimeoutError,
)
from outrider.protocol.commands import ECHO, FILE_UPD
from outrider.transport.answers import Reply

MIB = 1024 * 1024


def test_a_request_gets_its_answer_and_both_sides_count_bytes() -> None:
    async def story() -> None:
        both = await pair(far={ECHO: Reply})
        assert await both.near.channel.request(ECHO, b"hello there", 20) == b"hello there"
        assert both.far.requests == [("echo", b"hello there")]
        assert both.near.channel.bytes_out == both.far.channel.bytes_in == 31
        assert both.near.channel.bytes_in == both.far.channel.bytes_out == 31

    run(story())


def test_many_requests_at_once_each_get_their_own_answer() -> None:
    async def story() -> None:
        async def later(payload: bytes) -> Reply:
            await asyncio.sleep(1 / (1 + len(payload)))
            return Reply(payload)

        both = await pair(far={ECHO: later})
        asked = [b"x" * n for n in range(50)]
        answers = await asyncio.gather(*(both.near.channel.request(ECHO, text, 20) for text in asked))
        assert answers == asked

    run(story())


def test_no_answer_in_time_is_told_at_the_deadline_and_a_late_one_is_dropped() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()

        async def slow(payload: bytes) -> Reply:
            await asyncio.sleep(30 if payload == b"slow" else 0)
            return Reply(payload)

        both = await pair(far={ECHO: slow})
        started = loop.time()
        with pytest.raises(RequestTimeoutError):
            await both.near.channel.request(ECHO, b"slow", 20)
        assert loop.time() - started == pytest.approx(20)
        assert await both.near.channel.request(ECHO, b"quick", 20) == b"quick"
        await asyncio.sleep(20)
        assert both.near.channel.is_open
        assert await both.near.channel.request(ECHO, b"again", 20) == b"again"

    run(story())


def test_a_short_deadline_after_a_long_one_is_kept() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        both = await pair()
        both.fabric.partition("near", "far")
        ends: list[float] = []

        async def ask(seconds: float) -> None:
            with pytest.raises(RequestTimeoutError):
                await both.near.channel.request(ECHO, b"", seconds)
            ends.append(loop.time() - started)

        started = loop.time()
        await asyncio.gather(ask(100), ask(5), ask(50))
        assert ends == pytest.approx([5, 50, 100])

    run(story())


def test_a_lost_stream_fails_what_waits_and_cancels_what_serves() -> None:
    cancelled: list[str] = []

    async def hang(_: bytes) -> Reply:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append("served")
            raise
        return Reply(b"")

    async def story() -> None:
        both = await pair(far={ECHO: hang})
        asking = asyncio.ensure_future(both.near.channel.request(ECHO, b"", 20))
        await asyncio.sleep(1)
        both.fabric.cut("near")
        with pytest.raises(ConnectionLostError, match="reset"):
            await asking
        await asyncio.sleep(0)
        assert cancelled == ["served"]
        assert len(both.near.lost_reasons) == len(both.far.lost_reasons) == 1
        with pytest.raises(ConnectionLostError, match="the link is closed"):
            await both.near.channel.request(ECHO, b"", 20)

    run(story())


def test_closing_sends_what_is_queued_and_says_why() -> None:
    async def story() -> None:
        both = await pair(far={ECHO: Reply})
        asking = asyncio.ensure_future(both.near.channel.request(ECHO, b"x" * MIB, 20))
        await asyncio.sleep(0)
        both.near.channel.close("enough")
        both.near.channel.close("a later reason")
        assert await both.near.channel.closed() == "enough"
        with pytest.raises(ConnectionLostError, match="enough"):
            await asking
        assert await both.far.channel.closed() == "the peer closed the connection"
        assert both.far.requests == [("echo", b"x" * MIB)]
        assert (both.near.lost_reasons, both.far.lost_reasons) == (["enough"], ["the peer closed the connection"])

    run(story())


def test_closing_ends_although_a_dead_peer_takes_nothing() -> None:
    async def story() -> None:
        both = await pair()
        both.fabric.freeze("far")
        asking = asyncio.ensure_future(both.near.channel.request(ECHO, b"x" * 4 * MIB, 20))
        await asyncio.sleep(0)
        both.near.channel.close("enough")
        async with asyncio.timeout(60):
            assert await both.near.channel.closed() == "enough"
        with pytest.raises(ConnectionLostError):
            await asking

    run(story())


def test_bytes_that_break_the_protocol_close_with_one_reason() -> None:
    async def story() -> None:
        both = await pair(known=False)
        transport = both.near.channel.stream
        assert transport is not None
        transport.write(b"\0\0\0\1\xff\xff\xff\xffecho -------")
        reason = await both.far.channel.closed()
        assert "declares 4294967295 bytes" in reason
        assert both.far.lost_reasons == [reason]

    run(story())


def test_threat_03_the_handshake_deadline_closes_a_peer_that_drips() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        both = await pair(known=False, deadline=20.0)
        transport = both.near.channel.stream
        assert transport is not None

        async def drip() -> None:
            while True:
                transport.write(b"\0")
                await asyncio.sleep(10)

        dripping = asyncio.ensure_future(drip())
        reason = await both.far.channel.closed()
        dripping.cancel()
        assert loop.time() == pytest.approx(20, abs=0.1)
        assert "handshake" in reason

    run(story())


def test_a_sender_waits_while_the_stream_is_full_and_a_reader_that_holds_fills_it() -> None:
    async def story() -> None:
        both = await pair(far={FILE_UPD: lambda _: Reply(b"ok")})
        both.far.channel.hold("disk")
        near = both.near.channel
        asking = [asyncio.ensure_future(near.request(FILE_UPD, b"x" * MIB, 20)) for _ in range(2)]
        await asyncio.sleep(0)
        draining = asyncio.ensure_future(near.drain(20))
        await asyncio.sleep(5)
        assert not draining.done()
        assert both.far.requests == []
        both.far.channel.release("disk")
        await draining
        assert await asyncio.gather(*asking) == [b"ok", b"ok"]

    run(story())


def test_reading_goes_on_only_when_every_reason_to_hold_is_gone() -> None:
    async def story() -> None:
        both = await pair(far={ECHO: Reply})
        both.far.channel.hold("disk")
        both.far.channel.hold("other")
        asking = asyncio.ensure_future(both.near.channel.request(ECHO, b"x", 20))
        await asyncio.sleep(1)
        both.far.channel.release("disk")
        await asyncio.sleep(1)
        assert not asking.done()
        both.far.channel.release("other")
        assert await asking == b"x"

    run(story())


def test_a_peer_that_asks_and_never_reads_is_read_no_more() -> None:
    async def story() -> None:
        both = await pair(far={ECHO: Reply})
        near = both.near.channel
        near.hold("rude")
        asking: list[asyncio.Future[bytes]] = []

        async def flood() -> None:
            for _ in range(60):
                await near.drain(600)
                asking.append(asyncio.ensure_future(near.request(ECHO, b"x" * MIB, 600)))
                await asyncio.sleep(0)

        flooding = asyncio.ensure_future(flood())
        await asyncio.sleep(60)
        assert 32 <= len(both.far.requests) < 40
        assert not flooding.done()
        near.release("rude")
        await flooding
        await asyncio.gather(*asking)
        assert len(both.far.requests) == 60

    run(story())


def test_draining_ends_in_time_although_the_peer_speaks_and_only_does_not_read() -> None:
    async def story() -> None:
        both = await pair(near={ECHO: Reply})
        both.far.channel.hold("rude")
        asking = asyncio.ensure_future(both.near.channel.request(ECHO, b"x" * MIB, 60))
        await asyncio.sleep(0)
        started = asyncio.get_running_loop().time()
        both.far.channel.tell(ECHO, b"I am alive", 60)
        with pytest.raises(RequestTimeoutError, match="took nothing of what was sent for 20 s"):
            await both.near.channel.drain(20)
        assert asyncio.get_running_loop().time() - started == pytest.approx(20)
        assert [command for command, _ in both.near.requests] == ["echo"]
        asking.cancel()

    run(story())


def test_draining_ends_when_the_stream_is_lost() -> None:
    async def story() -> None:
        both = await pair()
        both.far.channel.hold("disk")
        asking = asyncio.ensure_future(both.near.channel.request(ECHO, b"x" * MIB, 20))
        await asyncio.sleep(0)
        draining = asyncio.ensure_future(both.near.channel.drain(20))
        await asyncio.sleep(1)
        both.fabric.cut("far")
        await draining
        with pytest.raises(ConnectionLostError):
            await asking

    run(story())


def test_a_caller_that_gives_up_leaves_nothing_behind() -> None:
    async def story() -> None:
        def later(payload: bytes) -> Awaitable[Reply]:
            return asyncio.sleep(5, Reply(payload))

        both: Pair = await pair(far={ECHO: later})
        asking = asyncio.ensure_future(both.near.channel.request(ECHO, b"x", 20))
        await asyncio.sleep(1)
        asking.cancel()
        await asyncio.sleep(10)
        assert not both.near.channel._answers
        assert await both.near.channel.request(ECHO, b"y", 20) == b"y"

    run(story())
