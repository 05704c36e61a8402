"""What programs may ask a master about its generations: which there are, what is in one, and to go back to one.

Any node may ask what there is; what changes something is for programs of this machine alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from outrider.errors import Refusal
from outrider.model import Manifest
from outrider.protocol import faults
from outrider.relay.context import Context
from outrider.relay.handlers import Handlers
from outrider.store.generations import Generation

if TYPE_CHECKING:
    from outrider.master.generations import Generations

_PATHS_SHOWN = 1000


class Listed(Struct, frozen=True, kw_only=True):
    """A generation: its number, the root of its tree, when it was made (Unix seconds), its files, and what it cost."""

    number: int
    root: str
    time: float
    files: int
    bytes: int
    current: bool


class Shown(Struct, frozen=True, kw_only=True):
    """A generation beside the one before it, if that is kept: the paths that it added, changed and took away.

    ``more`` counts the paths that are left out, since there are so many.
    """

    generation: Listed
    before: int | None
    added: list[str]
    changed: list[str]
    deleted: list[str]
    more: int


class GenerationCalls:
    """The calls, each under a name of ours."""

    def __init__(self, half: Generations) -> None:
        self._half = half

    def offer(self, calls: Handlers) -> None:
        """Put them into the table."""
        calls.call("outrider.generations")(self.list)
        calls.call("outrider.generation")(self.show)
        calls.call("outrider.generations_rollback")(self.rollback)
        calls.call("outrider.approve")(self.approve)

    async def list(self) -> list[Listed]:
        """All that are kept, oldest first."""
        return [self._listed(one) for one in await self._half.store.list()]

    async def show(self, *, number: int) -> Shown:
        """What one generation changed; at most 1,000 paths of each sort."""
        rows = await self._half.store.list()
        row = next((one for one in rows if one.number == number), None)
        if row is None:
            raise _unknown(number, rows)
        earlier = [one.number for one in rows if one.number < number]
        before = earlier[-1] if earlier else None
        if before is None:
            return Shown(generation=self._listed(row), before=None, added=[], changed=[], deleted=[], more=0)
        plan = await self._half.difference(await self._manifest(number), await self._manifest(before))
        groups = [plan.missing, plan.shared, plan.extra]
        added, changed, deleted = ([entry.path for entry in group[:_PATHS_SHOWN]] for group in groups)
        more = sum(max(0, len(group) - _PATHS_SHOWN) for group in groups)
        return Shown(
            generation=self._listed(row), before=before, added=added, changed=changed, deleted=deleted, more=more
        )

    async def rollback(self, context: Context, *, number: int) -> Listed:
        """Make the tree what it was in a generation; that becomes a new one, since numbers only grow."""
        context.only_local()
        await self._manifest(number)
        return self._listed(await self._half.go_back_to(number))

    async def approve(self, context: Context) -> str:
        """Let the current generation delete as many files as it wants, on every worker; its root."""
        context.only_local()
        return await self._half.approve()

    async def _manifest(self, number: int) -> Manifest:
        manifest = await self._half.store.manifest(number)
        if manifest is None:
            raise _unknown(number, await self._half.store.list())
        return manifest

    def _listed(self, one: Generation) -> Listed:
        current = self._half.current is not None and self._half.current.number == one.number
        return Listed(
            number=one.number, root=one.root, time=one.time, files=one.files, bytes=one.bytes, current=current
        )


def _unknown(number: int, rows: list[Generation]) -> Refusal:
    kept = f"{rows[0].number} to {rows[-1].number}" if rows else "none"
    return Refusal(faults.INTERNAL, f"generation {number} is not kept; kept are: {kept}")
