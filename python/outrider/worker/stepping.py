"""One round of the fast path: say where the tree stands, take the step that the master has from there, say so.

Nothing is remembered of a master's word that the tree's own root does not prove.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from outrider.codes import Code
from outrider.errors import HeldBackError, OutriderError, PeerError, RefusedByPeer, SyncError, TransportError
from outrider.hooks import GenerationEvent
from outrider.kinds.interface import LinkGround
from outrider.logs import TaskLogger
from outrider.model import Manifest, Plan
from outrider.printable import counted
from outrider.protocol import commands as c
from outrider.protocol import generations as g
from outrider.protocol.commands import Command
from outrider.store.tree import Applied, account_of
from outrider.sync.generations import check_offer, taken

if TYPE_CHECKING:
    from outrider.worker.generations import Generations

_NOT_YET_S: Final = 1
"""Between two questions for an answer that takes its time."""


Counts = tuple[int, int, int]
"""Files that were new, changed, deleted."""


class Verdict(Enum):
    """How a round ended. What is refused waits for a person or the next generation; what failed is tried again."""

    IN_STEP = "in step"
    SYNCED = "synchronised"
    REFUSED = "refused"
    FAILED = "failed"


class Moved(Struct):
    """What a round did: files by what became of them, and bytes that travelled, and that did not have to."""

    counts: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    saved: int = 0


class Stepping:
    """The rounds over one connection."""

    def __init__(self, half: Generations, link: LinkGround, log: TaskLogger) -> None:
        self.pushed: g.Offer | None = None  # what the master told unasked
        self._moved = Moved()
        self._refused = ""  # the refusal that the master was told last
        self._half = half
        self._ground = half.ground
        self._session = link.session
        self._status = link.status
        self._log = log

    async def round(self) -> Verdict:
        """In step or synchronised; :class:`HeldBackError` for what is refused, any other error for what failed."""
        base = await self._half.standpoint.holds()
        answer = await self._answer(base)
        while isinstance(answer, g.News | g.Unknown | g.Wanted):
            answer = await self._next(answer, base)
        match answer:
            case g.InStep(number, lineage):
                self._half.standpoint.agreed(base)
                await self._stand(number, lineage, base.root)
                return Verdict.IN_STEP
            case g.Offer():
                return await self._take(answer, base)

    def take_moved(self) -> Moved:
        """What the last round did; told once."""
        moved, self._moved = self._moved, Moved()
        return moved

    async def _answer(self, base: Manifest) -> g.Answer:
        """What the master has for a tree of this root: perhaps it told already."""
        root = bytes.fromhex(base.root)
        pushed, self.pushed = self.pushed, None
        if pushed is not None and pushed.ticket == g.ticket_of(root, pushed.root):
            return pushed
        return await self._ask(c.GEN_CHECK, g.encode(g.Standing(root, self._half.standpoint.known.number)))

    async def _next(self, answer: g.News | g.Unknown | g.Wanted, base: Manifest) -> g.Answer:
        tree = self._ground.tree
        match answer:
            case g.Unknown():  # the master does not know this root: say what lies here
                return await self._ask(c.GEN_HAVE, await tree.report(base))
            case g.Wanted(paths):  # and which chunks some large files have
                return await self._ask(c.GEN_SIGS, await tree.signatures(base, paths))
        await self._ground.ports.sleep(_NOT_YET_S)  # the master works on its answer
        return await self._answer(base)

    async def _take(self, offer: g.Offer, base: Manifest) -> Verdict:
        half, root = self._half, offer.root.hex()
        try:
            check_offer(half.standpoint.known, number=offer.number, lineage=offer.lineage.hex(), root=root)
        except HeldBackError as error:
            await self._refuse(offer.number, offer.root, str(error))
            raise
        if offer.ticket != g.ticket_of(bytes.fromhex(base.root), offer.root):
            raise PeerError("the master offers a step from another root than the one that was named")
        fetch = await half.fetch(offer, base)
        had = fetch.received  # over an earlier connection
        try:
            applied = await fetch.pull(self._session)
        except TransportError:
            raise  # the rest of it may come over the next connection
        except HeldBackError as error:
            await half.end_fetch()
            half.held_back = root
            await self._refuse(offer.number, offer.root, str(error))
            raise
        except (OutriderError, ValueError) as error:
            await half.end_fetch()
            await self._done(offer.number, offer.root, str(error))
            explained = SyncError(f"not applied: {error}")
            raise explained.like(error) if isinstance(error, OutriderError) else explained from error
        finally:
            self._moved.bytes += fetch.received - had
        self._moved.saved = max(0, applied.bytes_written - fetch.received)
        await half.end_fetch()
        half.held_back = ""
        if applied.manifest is not None:
            half.standpoint.agreed(applied.manifest)
        changed = any(applied.plan.counts)
        if changed:
            self._applied(applied)
            self._repaired(root)
        await self._stand(offer.number, offer.lineage, root, applied.plan)
        if not changed:
            return Verdict.IN_STEP
        self._ground.applied.emit()
        self._ground.supervisor.start("sweep", self._sweep())
        return Verdict.SYNCED

    async def _stand(self, number: int, lineage: bytes, root: str, plan: Plan | None = None) -> None:
        """The tree is that of a generation; if that is new here, a check of the settings has the last word."""
        standpoint, counts = self._half.standpoint, (0, 0, 0) if plan is None else plan.counts
        before = standpoint.known
        check_offer(before, number=number, lineage=lineage.hex(), root=root)
        if root != before.root and (failure := await self._half.trial.failure()):
            await self._go_back(number, root, failure)
        now = self._ground.ports.wall()
        known = taken(before, number=number, lineage=lineage.hex(), root=root, at=now)
        if known != before:
            await standpoint.stand(known)
        if number != self._ground.events.number or any(counts):
            its = plan if any(counts) else None
            self._ground.events.stands(GenerationEvent(number=number, root=root, plan=its))
        self._status.stands(number=number, root=root, at=known.at or now, files=standpoint.files)
        if known != before or any(counts):
            await self._done(number, bytes.fromhex(root), counts=counts)
        self._refused = ""

    async def _go_back(self, number: int, root: str, failure: str) -> None:
        steps = await self._half.standpoint.go_back(root, failure)
        self._status.count("generations_rolled_back")
        await self._done(number, bytes.fromhex(root), failure)
        raise HeldBackError(
            f"generation {number} is quarantined here, {counted(steps, 'change')} taken back: {failure}"
        ).coded(Code.QUARANTINED)

    async def _refuse(self, number: int, root: bytes, why: str) -> None:
        """Tell the master, unless it was the last thing that it was told."""
        if why != self._refused:
            await self._done(number, root, why)
            self._refused = why

    async def _done(self, number: int, root: bytes, failure: str = "", counts: Counts = (0, 0, 0)) -> None:
        """Tell the master; what it says to that changes nothing."""
        body = g.Done(number, root, failure[:1000], counts)
        try:
            await self._session.request(c.GEN_DONE, g.encode(body))
        except (TransportError, RefusedByPeer) as error:
            self._log.warning("the master could not be told: %s", error)

    async def _ask(self, command: Command, payload: bytes) -> g.Answer:
        self._moved.bytes += len(payload) if command is not c.GEN_CHECK else 0  # what the tree holds, in some form
        answer: g.Answer = g.decode_answer(await self._session.request(command, payload))
        return answer

    def _repaired(self, root: str) -> None:
        repairs = self._half.repairs
        repairs.brought_to(root)
        if repairs.in_a_row < repairs.ALARM:
            self._status.note("integrity", None)
            return
        again = (
            f"{1 + repairs.in_a_row} rounds wrote the same files again; does something else on this node change them?"
        )
        self._status.note("integrity", again)
        if repairs.in_a_row == repairs.ALARM:
            self._log.error("%s", again)

    async def _sweep(self) -> None:
        """Remove what the last apply replaced, after the master has its answer."""
        try:
            await self._ground.tree.sweep()
        except OutriderError as error:
            self._log.warning("what was replaced cannot be removed yet: %s", error)

    def _applied(self, applied: Applied) -> None:
        self._moved.counts = {"written": applied.written, "deleted": applied.deleted, "bytes": applied.bytes_written}
        self._log.info("%s", account_of(applied))
