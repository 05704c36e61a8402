"""The threads of a node that may die: what it has written stays, what it had yet to write never is.

Every piece of work that touches a disk goes through here, one after another. A node that is dead gets no further
answer, so that whatever of it still unwinds changes nothing: as after a power cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

from outrider._native import Generations
from outrider.store.outbox import Outbox

P = ParamSpec("P")
T = TypeVar("T")
_OPEN = (Generations, Outbox)


class Doom(NamedTuple):
    """The node dies at its ``calls``-th piece of work from now, before it or right after it."""

    calls: int
    after: bool


class Disk:
    """See the module. ``slow_s`` is how long each piece of work takes; ``done`` is told its name when it is over."""

    def __init__(self, done: Callable[[str], None], die: Callable[[], None]) -> None:
        self.slow_s = 0.0
        self.dead = False
        self.doom: Doom | None = None
        self._done = done
        self._die = die
        self._open: dict[Generations | Outbox, None] = {}  # in the order in which they were opened

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the work as a later step, as the answer of a thread would come."""
        await asyncio.sleep(self.slow_s)
        self._go_on()
        doomed = self.doom and self._doomed()
        if doomed and not doomed.after:
            self._end()
        try:
            outcome = work(*args, **kwargs)
            for one in (outcome, getattr(work, "__self__", None)):
                if isinstance(one, _OPEN):
                    self._open[one] = None
            return outcome
        finally:
            self._done(getattr(work, "__name__", ""))
            if doomed:
                self._end()

    def close(self) -> None:
        """What the system does for the dead: it closes what they had open, and writes nothing."""
        for one in self._open:
            if isinstance(one, Generations):
                one.close()
            elif one._db is not None:
                one._db.close()
                one._db = None

    def _doomed(self) -> Doom | None:
        """Whether this piece of work is the last."""
        if self.doom is None:
            return None
        left = self.doom.calls - 1
        if left > 0:
            self.doom = self.doom._replace(calls=left)
            return None
        doomed, self.doom = self.doom, None
        return doomed

    def _end(self) -> None:
        self._die()
        self._go_on()

    def _go_on(self) -> None:
        if self.dead:
            raise asyncio.CancelledError
