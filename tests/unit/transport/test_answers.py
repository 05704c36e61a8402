"""Answers: what the peer's says, and a future that was given up is told nothing."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.channels import pair
from tests.support.loop import run

from outrider.errors import RefusedByPeer
from outrider.protocol import faults
from outrider.protocol.commands import ECHO, OK_ECHO_MASTER
from outrider.protocol.events import Answered
from outrider.transport.answers import Reply, said_by, settle


def test_an_answer_s_other_name_is_an_answer_too() -> None:
    async def story() -> None:
        both = await pair(far={ECHO: lambda payload: Reply(payload, OK_ECHO_MASTER)})
        assert await both.near.channel.request(ECHO, b"x", 20) == b"x"

    run(story())


def test_an_answer_with_a_name_that_is_none_is_an_error_of_the_peer() -> None:
    said = said_by(Answered(7, b"sure", b"payload"))
    assert isinstance(said, RefusedByPeer)
    assert (said.code, said.detail) == (faults.GENERIC, "an answer named b'sure', which is none")


def test_a_future_is_told_once_and_one_that_was_given_up_never() -> None:
    async def story() -> None:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        settle(answer, b"first")
        settle(answer, RefusedByPeer(faults.GENERIC, "too late"))
        assert await answer == b"first"
        refused: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        settle(refused, RefusedByPeer(faults.GENERIC, "no"))
        with pytest.raises(RefusedByPeer):
            await refused
        given_up: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        given_up.cancel()
        settle(given_up, b"late")
        assert given_up.cancelled()

    run(story())
