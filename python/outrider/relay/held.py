"""Answers on their way to one peer or program, which may take its time.

A few are being sent, the rest wait, and all of them together hold a bounded number of bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from outrider.protocol.faults import Failure
from outrider.protocol.results import encode_result
from outrider.relay.routes import Answer

_LIMIT: Final = "limits.strings_total"
_TOO_MANY: Final = f"too many answers wait for you ({_LIMIT}); take them first"
_AT_ONCE: Final = 16
"""A peer takes so many strings at one time and no more; there are others than answers."""

Send = Callable[[Answer, Callable[[], None]], None]
"""Sends an answer, and calls what it is given when the peer has taken it or will not."""


class Held:
    """See the module. ``most_bytes`` says how many (``limits.strings_total``), ``hit`` is told of one too many."""

    def __init__(self, most_bytes: Callable[[], int], hit: Callable[[str], None]) -> None:
        self._most = most_bytes
        self._hit = hit
        self._bytes = 0
        self._under_way = 0
        self._line: deque[tuple[Answer, Send]] = deque()
        self._sending = False

    def send(self, answer: Answer, send: Send) -> None:
        """Have ``send`` send it when its turn has come; where there is no room, an answer that says so in its place."""
        if answer.ok and self._bytes + len(answer.body) > self._most():
            self._hit(_LIMIT)
            answer = Answer(encode_result(Failure.internal(_TOO_MANY)))
        self._bytes += len(answer.body)
        self._line.append((answer, send))
        self._next()

    def _next(self) -> None:
        if self._sending:  # what fails at once comes back here
            return
        self._sending = True
        try:
            while self._line and self._under_way < _AT_ONCE:
                answer, send = self._line.popleft()
                self._under_way += 1
                send(answer, partial(self._taken, len(answer.body)))
        finally:
            self._sending = False

    def _taken(self, size: int) -> None:
        self._bytes -= size
        self._under_way -= 1
        self._next()
