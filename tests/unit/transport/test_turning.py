"""Turning to TLS where the stream does not allow it: it ends, at once and with a reason.

What TLS carries, and whom it refuses, is tried over real sockets (test_tls.py, test_tls_authority.py).
"""

from __future__ import annotations

import asyncio

import pytest
from tests.support.channels import pair
from tests.support.loop import run

from outrider.errors import ConnectionLostError
from outrider.ports import Tls
from outrider.protocol.commands import ECHO
from outrider.transport.answers import Reply
from outrider.transport.turning import Opening, Turn

MIB = 1024 * 1024
DEADLINE_S = 10.0


def turn() -> Turn:
    """What would be TLS, if it came to that."""
    return Turn(Tls(False, None, None, DEADLINE_S), lambda: pytest.fail("nothing stands"))


def test_threat_03_a_peer_that_takes_nothing_before_tls_leaves_no_stream_behind() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        both = await pair()
        near = both.near.channel
        stream = near.stream
        assert stream is not None
        both.far.channel.hold("rude")
        asking = near.request(ECHO, b"x" * 4 * MIB, 60)
        started = loop.time()
        near.turn(turn())
        with pytest.raises(ConnectionLostError, match="took nothing of what was sent for 10 s"):
            await near.turned()
        assert loop.time() - started == pytest.approx(DEADLINE_S)
        assert await near.closed() == "the peer took nothing of what was sent for 10 s"
        assert both.near.lost_reasons == [near.reason]
        with pytest.raises(ConnectionLostError):
            await asking
        assert stream.get_write_buffer_size() == 0  # what nobody takes is kept no longer

    run(story())


def test_a_stream_that_is_lost_while_the_last_words_in_clear_leave_turns_no_more() -> None:
    async def story() -> None:
        both = await pair()
        near = both.near.channel
        both.far.channel.hold("rude")
        asking = near.request(ECHO, b"x" * 4 * MIB, 60)
        near.turn(turn())
        await asyncio.sleep(1)
        both.fabric.cut("near")
        with pytest.raises(ConnectionLostError):
            await asking
        with pytest.raises(ConnectionLostError, match="reset"):
            await near.turned()
        making = near._turning._making
        assert making is not None
        assert making.exception() is None
        assert both.near.lost_reasons == [near.reason]

    run(story())


def test_who_may_begin_in_clear_is_heard_from_its_first_byte_on() -> None:
    async def story() -> None:
        both = await pair(far={ECHO: Reply})
        far = both.far.channel
        far.opening = Opening(Turn(Tls(True, None, None, DEADLINE_S), lambda: None), only=False)
        assert await both.near.channel.request(ECHO, b"in clear", 20) == b"in clear"
        assert not far.opened
        assert far.shown is None

    run(story())
