"""What programs of this machine may ask a worker about the generation that it stands at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from outrider.errors import Refusal
from outrider.protocol import faults
from outrider.relay.context import Context
from outrider.relay.handlers import Handlers

if TYPE_CHECKING:
    from outrider.worker.approval import Approval
    from outrider.worker.generations import Generations


class StandsAt(Struct, frozen=True, kw_only=True):
    """The generation that this worker took last, the roots that it does not take and why, and what waits here.

    ``held_back`` is the root of the tree that a step leads to, over a base link of the one that it begins at.
    """

    number: int
    root: str
    bad: dict[str, str]
    held_back: str


class GenerationCalls:
    """The calls, each under a name of ours."""

    def __init__(self, half: Generations, approval: Approval) -> None:
        self._half = half
        self._approval = approval

    def offer(self, calls: Handlers) -> None:
        """Put them into the table."""
        calls.call("outrider.stands_at")(self.stands_at)
        calls.call("outrider.rollback")(self.rollback)
        calls.call("outrider.approve")(self.approve)

    async def stands_at(self) -> StandsAt:
        """Where this worker stands."""
        known, held_back = self._half.standpoint.known, self._half.held_back or self._approval.held_back
        return StandsAt(number=known.number, root=known.root, bad=known.bad, held_back=held_back)

    async def rollback(self, context: Context) -> int:
        """Put the version before the last apply back; how many changes that took. The next generation ends it."""
        context.only_local()
        return await self._half.go_back("rolled back by a person")

    async def approve(self, context: Context) -> str:
        """Take the step that is held back, whatever it deletes; the root that ``stands_at`` shows."""
        context.only_local()
        if self._half.held_back:
            return await self._half.approve()
        if root := self._approval.approve():
            return root
        raise Refusal(faults.INTERNAL, "nothing is held back on this node")
