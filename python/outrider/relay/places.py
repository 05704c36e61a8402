"""Places of which so many may be taken at one time, where that number may become another meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Places:
    """See the module. ``most`` says how many; who waits for one gets it in turn."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._taken = 0
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether whoever takes one has to wait."""
        return self._taken >= self._most() or bool(self._line)

    async def take(self) -> None:
        """Wait for a place and take it."""
        if not self.full:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given a place, and cannot come for it
                self.give_back()
            raise

    def give_back(self) -> None:
        """A place is free again."""
        self._taken -= 1
        self.look_again()

    def look_again(self) -> None:
        """Let in who waits, as far as there is room."""
        while self._line and self._taken < self._most():
            turn = self._line.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
