"""Answers on their way to one peer or program, which may take its time.

A few are being sent, the rest wait, and all of them together hold a bounded number of bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from outrider.protocol.faults import Failure
from outrider.protocol.results import encode_result
from outrider.relay.routes import Answer

_AT_ONCE: Final = 16
"""A peer takes so many strings at one time and no more; there are others than answers."""


class Held:
    """See the module."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def send(self, answer: Answer, send: Callable[[Answer], Awaitable[None]]) -> None:
        """Have ``send`` send it when its turn has come; where there is no room, an answer that says so in its place."""
        if answer.ok and self._bytes + len(answer.body) > self._most:
            answer = Answer(encode_result(Failure.internal("too many answers wait for you; take them first")))
        size = len(answer.body)
        self._bytes += size
        try:
            async with self._turn:
                await send(answer)
        finally:
            self._bytes -= size
