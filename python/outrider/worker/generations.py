"""The worker's half of the fast path: say where the tree stands, take the step that the master has for it.

One round at a time, whoever asks for it: the interval, the master that tells of a new generation, or a change that
somebody made to the tree here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Any

from outrider.codes import Code
from outrider.errors import HeldBackError, OutriderError, PeerError, TransportError
from outrider.exchange.session import Serve
from outrider.hooks import GenerationEvent
from outrider.kinds.interface import Half, LinkGround, NodeGround, Talk, Task
from outrider.logs import Tag, task_logger
from outrider.model import Manifest
from outrider.printable import counted
from outrider.protocol import commands as c
from outrider.protocol import generations as g
from outrider.protocol.commands import Command
from outrider.relay.handlers import Handlers
from outrider.settings import Settings
from outrider.status import Outcome
from outrider.store.tree import BundleFeed
from outrider.supervise import rest
from outrider.sync.generations import Repairs
from outrider.transport.answers import Reply
from outrider.trying import Tries
from outrider.worker.approval import Approval
from outrider.worker.fetching import Fetch
from outrider.worker.generation_calls import GenerationCalls
from outrider.worker.standpoint import Standpoint
from outrider.worker.stepping import Stepping, Verdict
from outrider.worker.trial import Trial
from outrider.working import Work


class Generations(Half["GenerationsTalk"]):
    """What outlives a connection: where this node stands, and a bundle that was cut short."""

    def __init__(self, ground: NodeGround, approval: Approval, calls: Handlers) -> None:
        super().__init__()
        GenerationCalls(self, approval).offer(calls)
        self.ground = ground
        self.log = task_logger(Tag.INTEGRITY_CHECK, ground.node.name)
        self.standpoint = Standpoint(ground.live, ground.tree, ground.ports)
        self.trial = Trial(ground.live, ground.ports.threads)
        self.repairs = Repairs()
        self.turn = asyncio.Lock()  # one round, or one way back, at a time
        self.wanted = asyncio.Event()  # a round, now
        self.held_back = ""  # the root to which a step leads that deletes too much
        self._cut: Fetch | None = None

    async def start(self) -> None:
        """Read what this node took last."""
        await self.standpoint.open()
        known = self.standpoint.known
        if known.root not in known.bad:
            self.ground.status.stands(number=known.number, root=known.root, at=known.at or self.ground.ports.wall())
        if self.standpoint.damaged:
            self.log.warning("which generation this node took last cannot be read: %s", self.standpoint.damaged)

    def talk(self, link: LinkGround) -> GenerationsTalk:
        """A connection to the master."""
        return GenerationsTalk(self, link)

    async def close(self) -> None:
        """Give up what was cut short."""
        await self.end_fetch()

    async def fetch(self, offer: g.Offer, base: Manifest) -> Fetch:
        """The bundle of ``offer``, which is applied as it comes; what was cut short goes on if it is the same."""
        if self._cut is None or self._cut.ticket != offer.ticket:
            await self.end_fetch()
            root, feed = offer.root.hex(), BundleFeed()
            most = self.standpoint.most_deleted(root, free=offer.approved)
            apply = partial(self.ground.tree.apply_bundle, feed, base, root, most_deleted=most)
            self._cut = Fetch(offer, feed, apply, self.ground.ports)
        return self._cut

    async def go_back(self, reason: str) -> int:
        """Put the version before the last apply back, and do not take this one again; how many changes that took."""
        async with self.turn:
            root = (await self.standpoint.holds()).root
            steps = await self.standpoint.go_back(root, reason)
        now, status = self.ground.ports.wall(), self.ground.status
        status.stands(number=0, root="", at=now)  # which one it was nobody remembers
        what = f"{counted(steps, 'change')} taken back: {reason}"
        status.in_step(now, what)
        self.ground.events.stands(GenerationEvent(number=0))
        self.log.warning("%s", what)
        self.wanted.set()  # the round tells the master that its generation is not taken here
        return steps

    async def approve(self) -> str:
        """Take the step that is held back, soon; the root that it leads to."""
        root, self.held_back = self.held_back, ""
        await self.standpoint.approve(root)
        self.wanted.set()
        return root

    async def end_fetch(self) -> None:
        """No bundle is under way any more."""
        cut, self._cut = self._cut, None
        if cut is not None:
            await cut.give_up()


class GenerationsTalk(Talk):
    """The rounds over one connection."""

    def __init__(self, half: Generations, link: LinkGround) -> None:
        ground = half.ground
        self._half = half
        self._status = link.status
        self._ground = ground
        self._log = task_logger(Tag.INTEGRITY_CHECK, ground.node.name, peer=lambda: link.session.channel.address)
        self._stepping = Stepping(half, link, self._log)

    def serves(self) -> Mapping[Command, Serve]:
        """The master tells of a new generation."""
        return {c.GEN_NEW: self._news}

    def tasks(self) -> Sequence[Task]:
        """Rounds, as long as the connection stands."""
        return [(Tag.INTEGRITY_CHECK, self.run)]

    async def run(self) -> None:
        """Rounds until cancelled."""
        ports, half = self._ground.ports, self._half
        with Tries(Tag.INTEGRITY_CHECK, ports, self._log, self._status, base_s=1, cap_s=self._interval) as tries:
            while True:
                half.wanted.clear()
                verdict = await self._try(tries)
                deaf_s = half.repairs.pause_s(self._interval())
                match verdict:
                    case Verdict.FAILED:
                        await self._until_wanted(tries.pause(), deaf_s=self._interval())
                    case Verdict.REFUSED:
                        await self._until_wanted(tries.pause(), deaf_s=deaf_s)
                    case _:
                        tries.worked()
                        await self._until_wanted(self._rest(), deaf_s=deaf_s)

    def _interval(self) -> float:
        return _interval_of(self._ground.settings)

    async def _rest(self) -> None:
        await rest(self._ground.ports, self._ground.live, _interval_of)

    async def _until_wanted(self, pause: Awaitable[None], *, deaf_s: float) -> None:
        """Wait for the master's news, for a change that somebody made here, or for the pause to be over.

        Changes count once ``deaf_s`` have passed: what changes the same files again and again is not raced against.
        """
        over = asyncio.ensure_future(pause)
        waiting: list[asyncio.Future[Any]] = [
            over,
            asyncio.ensure_future(self._half.wanted.wait()),
            asyncio.ensure_future(self._edited(deaf_s)),
        ]
        try:
            woken, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if woken == {over}:
                self._half.standpoint.doubt_if_old()
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _edited(self, deaf_s: float) -> None:
        """Wait until somebody has changed the tree; what it holds is not known any more then."""
        await self._ground.ports.sleep(deaf_s)
        while not await self._ground.tree.changes.come(within_s=self._interval()):
            pass
        self._half.standpoint.doubt()

    def _news(self, payload: bytes) -> Reply:
        answer = g.decode_answer(payload)
        self._stepping.pushed = answer if isinstance(answer, g.Offer) else None
        self._half.wanted.set()
        return Reply(b"")

    async def _try(self, tries: Tries) -> Verdict:
        """A round, and what it came to."""
        started, why = self._ground.ports.monotonic(), ""
        with self._status.working() as work:
            try:
                verdict = await self._round()
            except OutriderError as error:
                verdict = Verdict.REFUSED if isinstance(error, HeldBackError) else Verdict.FAILED
                why = str(error)
                if not isinstance(error, HeldBackError | TransportError):
                    self._half.standpoint.doubt()
                tries.failed(error)
            self._status.in_step(self._ground.ports.wall(), why)
            self._record(verdict, self._ground.ports.monotonic() - started, work)
        return verdict

    async def _round(self) -> Verdict:
        async with self._half.turn:
            try:
                return await self._stepping.round()
            except ValueError as error:
                raise PeerError(f"what the master says cannot be read: {error}").coded(Code.UNREADABLE_DATA) from error

    def _record(self, verdict: Verdict, seconds: float, work: Work) -> None:
        self._log.info("Finished in %.3f s: %s", seconds, verdict.value)
        moved = self._stepping.take_moved()
        outcome = Outcome(
            ok=verdict in (Verdict.IN_STEP, Verdict.SYNCED),
            started=self._ground.ports.wall() - seconds,
            seconds=seconds,
            counts=moved.counts,
            detail=verdict.value,
            cpu_seconds=work.cpu_seconds,
            bytes=moved.bytes,
            saved=moved.saved,
        )
        self._status.finished("integrity", outcome)


def _interval_of(settings: Settings) -> float:
    return settings.intervals.worker.sync_integrity
