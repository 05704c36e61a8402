"""One worker on the fast path: where it says that it stands, and the step that it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from outrider.errors import OutriderError, Refusal, ReportedError
from outrider.exchange.session import Serve
from outrider.kinds.interface import LinkGround, Talk
from outrider.logs import Tag, TaskLogger, task_logger
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol import generations as g
from outrider.protocol.commands import Command
from outrider.status import Outcome, reported
from outrider.transport.answers import Reply
from outrider.trying import Tries

if TYPE_CHECKING:
    from outrider.master.generations import Aim, Generations

PATIENCE_S: Final = 10
"""An answer may take so long to work out; the worker waits twice as long for it."""


class WorkerGenerations(Talk):
    """See the module. ``root`` is where the worker stands as far as it said; ``None`` before its first check."""

    def __init__(self, half: Generations, link: LinkGround) -> None:
        self.root: bytes | None = None
        self._half = half
        self._session = link.session
        self._status = link.status
        self._ports = half.ground.ports
        self._node = half.ground.node.name
        self._sent = 0
        self._cpu_seconds = 0.0
        self._began = 0.0  # Unix seconds at which it asked, or was told
        self._tries: Tries | None = None  # what the worker could not take, once it has joined
        self._reported: Aim | None = None
        self._working: asyncio.Task[g.Answer] | None = None  # on one answer at a time: a report is large

    def serves(self) -> Mapping[Command, Serve]:
        """What a worker asks."""
        return {
            c.GEN_CHECK: self._check,
            c.GEN_HAVE: self._have,
            c.GEN_SIGS: self._signatures,
            c.GEN_READ: self._read,
            c.GEN_DONE: self._done,
        }

    def joined(self) -> None:
        """It may soon say where it stands."""
        self._half.standings.joined(self._session)
        self._tries = Tries(Tag.INTEGRITY_SYNC, self._ports, self._log(), self._status, base_s=1, cap_s=1)

    def lost(self, reason: str) -> None:  # noqa: ARG002  (whatever it is)
        """Nobody waits for the answer any more."""
        self._half.standings.left(self._session)
        if self._tries is not None:
            self._tries.forget()
        self._give_up()

    def tell(self, payload: bytes) -> None:
        """Tell the worker of a new generation, without waiting to hear that it heard."""
        self._sent += len(payload)
        self._began = self._ports.wall()
        answer = self._session.request(c.GEN_NEW, payload)
        answer.add_done_callback(self._told)

    def _told(self, answer: asyncio.Future[bytes]) -> None:
        if not answer.cancelled() and isinstance(error := answer.exception(), OutriderError):
            self._log().debug("could not be told of a new generation: %s", error)

    async def _check(self, payload: bytes) -> Reply:
        standing = g.decode_standing(payload)
        self._began = self._began or self._ports.wall()
        if standing.root != self.root:
            self._give_up()
        self.root = standing.root
        self._half.standings.stands(self._session, min(standing.number, self._half.number))
        answer = await self._worked_out(partial(self._half.offer, self.root))
        if isinstance(answer, g.InStep):
            self._stands(answer.number, self.root)
            self._record(ok=True, detail="in step")
        return self._reply(answer)

    async def _have(self, payload: bytes) -> Reply:
        """What the worker holds, whose root is not known; its large files may be asked for by chunks."""
        return self._reply(await self._worked_out(partial(self._compare, payload)))

    async def _signatures(self, payload: bytes) -> Reply:
        aim, self._reported = self._reported, None
        if aim is None:
            raise Refusal(faults.INTERNAL, "gen_sigs comes after gen_have, once")
        return self._reply(await self._worked_out(partial(self._describe, aim, payload)))

    async def _compare(self, report: bytes) -> g.Answer:
        if self.root is None:
            raise Refusal(faults.INTERNAL, "gen_have comes after gen_check")
        aim = await self._half.aim_from(self.root, report)
        if wanted := await self._half.bundles.wanted(aim.step):
            self._reported = aim
            return g.Wanted(tuple(wanted))
        return await self._half.offer_of(aim)

    async def _describe(self, aim: Aim, signatures: bytes) -> g.Answer:
        step = await self._half.bundles.described(aim.step, signatures)
        return await self._half.offer_of(aim._replace(step=step))

    async def _worked_out(self, work: Callable[[], Coroutine[Any, Any, g.Answer]]) -> g.Answer:
        """The answer; if that takes long the worker is told to ask again, and what goes on then has its answer."""
        if self._working is None:
            self._working = asyncio.create_task(work())
            self._working.add_done_callback(_heard)
        working = self._working
        with self._status.working() as share:
            done, _ = await asyncio.wait([working], timeout=PATIENCE_S)
        self._cpu_seconds += share.cpu_seconds
        if not done:
            return g.News(self._half.number)
        if self._working is working:
            self._working = None
        return working.result()

    def _give_up(self) -> None:
        working, self._working, self._reported = self._working, None, None
        if working is not None:
            working.cancel()

    def _reply(self, answer: g.Answer) -> Reply:
        payload = g.encode(answer)
        self._sent += len(payload)
        return Reply(payload)

    async def _read(self, payload: bytes) -> Reply:
        read = g.decode_read(payload)
        with self._status.working() as share:
            part = await self._half.read(read.ticket, read.offset)
        self._cpu_seconds += share.cpu_seconds
        self._sent += len(part)
        return Reply(part)

    def _done(self, payload: bytes) -> Reply:
        done = g.decode_done(payload)
        whole = self._half.unpacked(g.ticket_of(self.root or b"", done.root)) if any(done.counts) else 0
        if done.failure:
            self._failed(f"generation {done.number} is not taken, the worker reports: {done.failure}")
            self._status.count("worker_sync_failures")
            now = self._ports.wall()
            self._status.failure(reported(f"generation {done.number}", done.failure, now))
            self._status.in_step(now, f"does not take generation {done.number}: {done.failure}")
        else:
            self.root = done.root
            self._stands(done.number, done.root)
            self._log().info("stands at generation %d, sent %d bytes", done.number, self._sent)
        detail = done.failure or f"generation {done.number}"
        self._record(ok=not done.failure, detail=detail, counts=done.counts, saved=max(0, whole - self._sent))
        return Reply(b"")

    def _failed(self, why: str) -> None:
        """It tries again by itself, and tells each time."""
        if self._tries is not None:
            self._tries.failed(ReportedError(why), asked=True)

    def _stands(self, number: int, root: bytes) -> None:
        now = self._ports.wall()
        self._half.standings.stands(self._session, number)
        self._status.stands(number=number, root=root.hex(), at=now)
        behind = f"takes generation {self._half.number}" if number < self._half.number else ""
        self._status.in_step(now, behind)

    def _record(self, *, ok: bool, detail: str, counts: tuple[int, int, int] = (0, 0, 0), saved: int = 0) -> None:
        if ok and self._tries is not None:
            self._tries.worked()
        now = self._ports.wall()
        started, self._began = self._began or now, 0.0
        outcome = Outcome(
            ok=ok,
            started=started,
            seconds=now - started,
            detail=detail,
            cpu_seconds=self._cpu_seconds,
            bytes=self._sent,
            saved=saved,
        )
        self._sent, self._cpu_seconds = 0, 0.0
        if any(counts):
            files = dict(zip(("missing", "shared", "extra"), counts, strict=True))
            self._status.finished("integrity_sync", structs.replace(outcome, counts=files, detail=""))
        self._status.finished("integrity", outcome)

    def _log(self) -> TaskLogger:
        return task_logger(Tag.INTEGRITY_SYNC, self._node, peer=self._session.worker)


def _heard(working: asyncio.Task[g.Answer]) -> None:
    """Nobody may wait for it any more."""
    if not working.cancelled():
        working.exception()
