"""What programs of this machine may ask a worker about the generation that it stands at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from outrider.errors import Refusal
from outrider.protocol import faults
from outrider.relay.context import Context
from outrider.relay.handlers import Handlers

if TYPE_CHECKING:
    from outrider.worker.generations import Generations


class StandsAt(Struct, frozen=True, kw_only=True):
    """The generation that this worker took last, the roots that it does not take and why, and what waits here."""

    number: int
    root: str
    bad: dict[str, str]
    held_back: str


class GenerationCalls:
    """The calls, each under a name of ours."""

    def __init__(self, half: Generations) -> None:
        self._half = half

    def offer(self, calls: Handlers) -> None:
        """Put them into the table."""
        calls.call("outrider.stands_at")(self.stands_at)
        calls.call("outrider.rollback")(self.rollback)
        calls.call("outrider.approve")(self.approve)

    async def stands_at(self) -> StandsAt:
        """Where this worker stands."""
        known = self._half.standpoint.known
        return StandsAt(number=known.number, root=known.root, bad=known.bad, held_back=self._half.held_back)

    async def rollback(self, context: Context) -> int:
        """Put the version before the last apply back; how many changes that took. The next generation ends it."""
        context.only_local()
        return await self._half.go_back("rolled back by a person")

    async def approve(self, context: Context) -> str:
        """Take the step that is held back, whatever it deletes; the root that it leads to."""
        context.only_local()
        if not self._half.held_back:
            raise Refusal(faults.INTERNAL, "nothing is held back on this node")
        return await self._half.approve()
