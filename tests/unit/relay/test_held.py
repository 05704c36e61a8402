"""Answers that wait to be taken: a few on their way, the rest in line, and no more bytes than allowed."""

from __future__ import annotations

import asyncio
import json

from tests.support.loop import run

from outrider.relay.held import Held
from outrider.relay.routes import Answer


def test_what_there_is_no_room_for_is_an_error_in_its_place_and_room_comes_back() -> None:
    async def story() -> None:
        held, taken, gate = Held(100), list[bytes](), asyncio.Event()

        async def send(answer: Answer) -> None:
            await gate.wait()
            taken.append(answer.body)

        sending = [asyncio.ensure_future(held.send(Answer(b"x" * 40), send)) for _ in range(4)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*sending)
        assert taken[:2] == [b"x" * 40] * 2
        for late in taken[2:]:
            assert "too many answers wait" in str(json.loads(late)["__wazuh_exception__"]["__object__"])
        await held.send(Answer(b"x" * 100), send)
        assert taken[-1] == b"x" * 100

    run(story())


def test_a_few_are_sent_at_a_time_and_whoever_is_given_up_leaves_its_place() -> None:
    async def story() -> None:
        held, under_way, gate = Held(10**6), list[bytes](), asyncio.Event()

        async def send(answer: Answer) -> None:
            under_way.append(answer.body)
            await gate.wait()

        sending = [asyncio.ensure_future(held.send(Answer(b"%d" % number), send)) for number in range(40)]
        await asyncio.sleep(1)
        assert len(under_way) == 16
        for one in sending[:10]:
            one.cancel()
        await asyncio.sleep(1)
        assert len(under_way) == 26
        gate.set()
        await asyncio.gather(*sending, return_exceptions=True)
        assert sorted(under_way, key=int) == [b"%d" % number for number in range(40)]

    run(story())
