"""Which generation each worker stands at: what is of no use before its files waits for them (threats 44).

It brings nobody forward, and it holds nobody up for longer than who waits says.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from outrider.errors import OutriderError
from outrider.exchange.session import Session
from outrider.kinds.builtin import GENERATIONS
from outrider.master.source import Source
from outrider.store.generations import Generation

_JOINING_S: Final = 5.0
"""After so long a worker has begun to take the fast path, or it is an old one."""


class Standings:
    """See the module. Only workers on the fast path are known; of any other nobody knows when it has its files."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._current: Generation | None = None
        self._look = 0
        self._numbers: dict[Session, int] = {}
        self._joining: set[Session] = set()
        self._moved = asyncio.Event()

    def made(self, current: Generation, look: int) -> None:
        """There is a new current generation, made of what the source saw at the look of this number."""
        self._current, self._look = current, look
        self._move()

    def joined(self, session: Session) -> None:
        """A worker has come; soon it is known whether it takes the fast path, and until then it may."""
        self._joining.add(session)
        asyncio.get_running_loop().call_later(_JOINING_S, self.settled, session)

    def settled(self, session: Session) -> None:
        """Whether a worker is on the fast path shows by now: it has said something else than its first words."""
        if session in self._joining:
            self._joining.remove(session)
            if session.extended is not None and GENERATIONS.feature in session.extended.features:
                self._numbers.setdefault(session, 0)
            self._move()

    def stands(self, session: Session, number: int) -> None:
        """The worker at the other end has taken this generation, and none that came later; 0: none that is known."""
        self._numbers[session] = number
        self._move()

    def left(self, session: Session) -> None:
        """That worker is gone."""
        self._joining.discard(session)
        self._numbers.pop(session, None)
        self._move()

    async def of_now(self, within_s: float) -> int:
        """The number of the generation that holds what the tree holds now, a look at it included.

        The current one if that takes longer, or fails; 0 while there is none, or nobody takes any.
        """
        if not self._numbers and not self._joining:
            return 0
        with contextlib.suppress(TimeoutError, OutriderError):
            async with asyncio.timeout(within_s):
                await self._source.look()
                look, root = self._source.number, self._source.manifest.root
                while self._current is not None and self._current.root != root and self._look < look:
                    await self._moved.wait()
        return 0 if self._current is None else self._current.number

    async def reached(self, session: Session, number: int, within_s: float) -> bool:
        """Wait until a worker on the fast path has taken a generation, at most so long; whether it has."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._lacks(session, number):
                    await self._moved.wait()
        return not self._lacks(session, number)

    def _lacks(self, session: Session, number: int) -> bool:
        return self._numbers.get(session, 0 if session in self._joining else number) < number

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
