"""What a peer asks: errors as answers, a bound on what is at work, and nothing at work for a peer that is gone."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.channels import pair
from tests.support.loop import run

from outrider.errors import PeerError, Refusal, RefusedByPeer, StoreError
from outrider.protocol.commands import ECHO, ERR, NEW_STR
from outrider.transport.answers import Reply, reply_to


def _raise(error: Exception) -> Reply:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (Refusal(3028, "worker1"), 3028, "worker1"),
        (Refusal(1000, "too many"), 1000, "too many"),
        (PeerError("a path leaves the root"), 1000, "a path leaves the root"),
        (ValueError("not enough values to unpack"), 1000, "not enough values to unpack"),
        (KeyError("secret of this node"), 1000, "KeyError"),
        (StoreError("/var/secret: disk full"), 1000, "StoreError"),
    ],
)
def test_what_serving_runs_into_becomes_an_err_answer(error: Exception, code: int, detail: str) -> None:
    async def soon(_: bytes) -> Reply:
        await asyncio.sleep(0)
        raise error

    async def story() -> None:
        both = await pair(far={ECHO: lambda _: _raise(error), NEW_STR: soon})
        for command in (ECHO, NEW_STR):
            with pytest.raises(RefusedByPeer) as caught:
                await both.near.channel.request(command, b"", 20)
            assert (caught.value.code, caught.value.detail) == (code, detail)
        assert both.far.channel.is_open

    run(story())
    assert reply_to(error).name == ERR


def test_threat_23_a_peer_that_asks_on_while_its_questions_are_worked_on_is_read_no_more() -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def slow(payload: bytes) -> Reply:
            await gate.wait()
            return Reply(payload)

        both = await pair(far={ECHO: slow})
        near = both.near.channel
        asking: list[asyncio.Future[bytes]] = []

        async def flood() -> None:
            for _ in range(5000):
                await near.drain(600)
                asking.append(near.request(ECHO, b"x" * 4096, 600))
                await asyncio.sleep(0.001)

        flooding = asyncio.ensure_future(flood())
        await asyncio.sleep(60)
        most = len(both.far.requests)
        assert 1024 <= most < 1024 + 300  # limits.answers_under_way, and what had been read already
        gate.set()
        await flooding
        assert set(await asyncio.gather(*asking)) == {b"x" * 4096}
        assert len(both.far.requests) == 5000

    run(story())
