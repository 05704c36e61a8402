"""The worker's half of integrity: ask, say what we hold, apply what comes (specification 5.3 to 5.5).

Here are the rounds; the files that a round brings are the task of ``receiving.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from outrider.codes import Code
from outrider.errors import OutriderError, RequestTimeoutError, SyncError
from outrider.exchange.sending import Opening
from outrider.exchange.session import Serve
from outrider.hooks import GenerationEvent
from outrider.kinds.interface import LinkGround, Talk, Task
from outrider.logs import Tag, task_logger
from outrider.printable import counted
from outrider.protocol.bodies import TaskFault, container_path
from outrider.protocol.commands import (
    IN_STEP,
    INTEGRITY_CHECK,
    INTEGRITY_CHECK_END,
    INTEGRITY_CHECK_ERROR,
    INTEGRITY_PERMISSION,
    INTEGRITY_SYNC,
    INTEGRITY_SYNC_END,
    INTEGRITY_SYNC_ERROR,
    Command,
)
from outrider.status import Outcome
from outrider.store.tree import Applied, Packer
from outrider.sync.integrity import Verdict
from outrider.transport.answers import Reply
from outrider.trying import Tries
from outrider.worker.approval import Approval
from outrider.worker.receiving import ReceiveIntegrityTask
from outrider.working import Work

_CHECK = Opening(INTEGRITY_CHECK, INTEGRITY_CHECK_END, INTEGRITY_CHECK_ERROR)
_LOOK_AGAIN_S = 10
"""After files were applied the next round comes this soon: a container may have left some out (4.3)."""
_ALARM_REPEATS = 3
_REST = 4.0
"""After a look at the own tree this many times its duration pass before the next."""


class Integrity(Talk):
    """The rounds of one session, one after another."""

    def __init__(self, link: LinkGround, approval: Approval) -> None:
        node, session = link.node, link.session
        self.log = task_logger(Tag.INTEGRITY_CHECK, node.node.name, peer=lambda: session.channel.address)
        self._session = session
        self._tree = node.tree
        self._ground = node
        self._approval = approval
        self._ports = node.ports
        self._status = link.status
        self._supervisor = link.supervisor
        self._applied = node.applied
        self._events = node.events
        self._verdict: asyncio.Future[Verdict] | None = None
        self._patience: asyncio.Timeout | None = None
        self._receiving = False
        self._applying = asyncio.Lock()
        self._last_rehash = node.ports.monotonic()
        self._counts: dict[str, int] = {}
        self._last_plan: int | None = None
        self._repeats = 0
        self._complained: list[tuple[str, str]] = []
        self._root = ""  # of the tree that the last round compared
        self._files = 0  # in that tree

    def serves(self) -> Mapping[Command, Serve]:
        """The verdict of the master, and its files."""
        return {
            IN_STEP: self._in_step,
            INTEGRITY_SYNC: self._receive_files,
            INTEGRITY_SYNC_END: self._session.deliver,
            INTEGRITY_SYNC_ERROR: self._files_failed,
        }

    def tasks(self) -> Sequence[Task]:
        """Rounds."""
        return [(Tag.INTEGRITY_CHECK, self.run)]

    async def run(self) -> None:
        """Rounds until cancelled: at the interval and after local changes while in step, sooner while not."""
        log, status = self.log, self._status
        with Tries(Tag.INTEGRITY_CHECK, self._ports, log, status, base_s=1, cap_s=self._interval) as tries:
            while True:
                verdict = await self._try(tries)
                if verdict in (Verdict.BUSY, Verdict.FAILED):
                    await self._approval.rest(tries.pause())
                    continue
                tries.worked()
                soonest = self._before_another_look()
                if verdict is Verdict.SYNCED:
                    await self._ports.sleep(soonest)
                else:
                    await self._until_changed(soonest if self._repeats else 0.0)

    async def _try(self, tries: Tries) -> Verdict:
        """A round, and what it came to."""
        started, carried, why = self._ports.monotonic(), self._carried(), ""
        with self._status.working() as work:
            try:
                verdict = await self.round()
            except OutriderError as error:
                verdict, why = Verdict.FAILED, str(error)
                tries.failed(error)
            if verdict is Verdict.BUSY:
                tries.later()
            else:
                self._stand(why)
            self._record(verdict, self._ports.monotonic() - started, work, self._carried() - carried)
        return verdict

    def _stand(self, why: str) -> None:
        at = self._ports.wall()
        if self._root and not why and not self._counts:
            self._status.stands(number=0, root=self._root, at=at, files=self._files)
        self._status.in_step(at, why)

    def _carried(self) -> int:
        """All bytes of this link so far."""
        return self._session.channel.bytes_in + self._session.channel.bytes_out

    def _interval(self) -> float:
        return self._ground.settings.intervals.worker.sync_integrity

    async def _until_changed(self, soonest: float) -> None:
        """Wait for the interval to end, or for the tree to differ from what was found in step: someone here edits it.

        Not before ``soonest``: what changes the same files again and again is not raced against (threats 43).
        """
        began = self._ports.monotonic()
        rest = soonest
        while (left := began + self._interval() - self._ports.monotonic()) > 0:
            await self._ports.sleep(min(rest, left))
            if not await self._tree.changes.come(within_s=left - rest):
                continue
            started = self._ports.monotonic()
            if await self._root_now() != self._root:
                return
            rest = _REST * (self._ports.monotonic() - started)

    async def _root_now(self) -> str:
        async with self._applying:
            return (await self._tree.scan()).manifest.root

    def _before_another_look(self) -> float:
        """Soon while each container brings something new; later and later while one comes again and again (threats 43).

        Then something else on this node changes the files back, and no sync cures that.
        """
        if self._repeats >= _ALARM_REPEATS and self._last_plan:
            again = (
                f"{1 + self._repeats} rounds wrote the same files again; does something else on this node change them?"
            )
            self._status.note("integrity", again)
            if self._repeats == _ALARM_REPEATS:
                self.log.error("%s", again)
        elif not self._repeats:
            self._status.note("integrity", None)
        return min(self._interval(), _LOOK_AGAIN_S * 2.0 ** min(self._repeats, 64))

    async def round(self) -> Verdict:
        """Ask for permission, send our manifest, wait for the master's verdict."""
        if self._applying.locked() or await self._session.request(INTEGRITY_PERMISSION) != b"True":
            return Verdict.BUSY
        packer = await self._look()
        verdict = self._verdict = asyncio.get_running_loop().create_future()
        # The master may give up before our manifest is sent, and the sending then fails by an error of its own.
        verdict.add_done_callback(lambda spoken: spoken.cancelled() or spoken.exception())
        container = container_path(self._session.worker, self._ports.wall(), self._ports.random.getrandbits(128))
        await self._session.sender.container(packer, _CHECK, container)
        return await self._patiently(verdict)

    async def _look(self) -> Packer:
        """What the tree holds, ready to be sent; no more of it stays in memory while the master is at work."""
        async with self._applying:
            scan = await self._tree.scan(rehash=self._rehash_due())
        self._root, self._files = scan.manifest.root, len(scan.manifest)
        self._complain(scan.problems)
        self.log.info("Starting: %s, %d of them read", counted(len(scan.manifest), "file"), scan.hashed)
        return await self._tree.pack_manifest(scan.manifest)

    def conclude(self, verdict: Verdict, **counts: int) -> None:
        """The master has spoken, or what it sent was dealt with; ``counts`` say what that came to."""
        self._counts = counts
        self._receiving = False
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result(verdict)

    def fail(self, error: OutriderError) -> None:
        """What the master sent, or could not send, fails the round that waits for it."""
        self._receiving = False
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_exception(error)
        else:
            self.log.warning("%s; no round waits for it", error)

    async def process_files_from_master(self, file: Path) -> Applied:
        """Apply a container that lies at ``file``, all or nothing, and remove it."""
        async with self._applying:
            try:
                with self._approval.most(self._ground.settings.generations, self._root, self._files) as most:
                    applied = await self._tree.apply(file, most_deleted=most)
                # The plan may list 100,000 files, and only whether it comes again is asked. 0 stands for an empty one.
                plan = hash(applied.plan) if applied.plan else 0
                self._repeats = self._repeats + 1 if plan == self._last_plan else 0
                self._last_plan = plan
            finally:
                self._session.remove_later(file)
        self._applied.emit()
        if applied.plan:
            self._events.stands(GenerationEvent(number=0, plan=applied.plan))
        return applied

    @property
    def receiving_limit_s(self) -> float:
        """How long a task waits for its file."""
        return self._ground.settings.intervals.communication.timeout_receiving_file

    async def sweep(self) -> None:
        """Remove what the last apply replaced, after the master has its answer."""
        try:
            await self._tree.sweep()
        except OutriderError as error:
            self.log.warning("what was replaced cannot be removed yet: %s", error)

    # the master's commands

    def _in_step(self, _: bytes) -> Reply:
        self.conclude(Verdict.IN_STEP)
        return Reply(b"Thanks")

    def _receive_files(self, payload: bytes) -> Reply:
        """The master announces files; the limit of the task that takes them replaces the round's."""
        task = ReceiveIntegrityTask(self, self._session, *self._session.tasks.open(payload))
        self._receiving = True
        if self._patience is not None:
            self._patience.reschedule(None)
        self._supervisor.start(Tag.INTEGRITY_SYNC, task.run())
        return task.reply

    def _files_failed(self, payload: bytes) -> Reply:
        failed = TaskFault.decode(payload)
        if not self._session.tasks.fail(failed.task, failed.fault):
            self.fail(SyncError(f"the master cannot send files: {failed.fault}").coded(Code.MASTER_CANNOT_SEND))
        return Reply(b"Error received")

    # a round

    async def _patiently(self, verdict: asyncio.Future[Verdict]) -> Verdict:
        """Wait for the master's word: for a while if nothing comes, to the end if files do.

        An old master that cannot read what we sent says nothing (7.1), and one that packs says nothing either, so that
        the while is that of a file, and a master that did not speak is not told to let go of the round.
        """
        try:
            async with asyncio.timeout(None if self._receiving else self.receiving_limit_s) as self._patience:
                return await verdict
        except TimeoutError:
            raise RequestTimeoutError("the master gave no verdict") from None
        finally:
            self._patience = None

    def _record(self, verdict: Verdict, seconds: float, work: Work, carried: int) -> None:
        if verdict is Verdict.BUSY:
            self.log.debug("not permitted yet")
            return
        self.log.info("Finished in %.3f s: %s", seconds, verdict.value)
        outcome = Outcome(
            ok=verdict is not Verdict.FAILED,
            started=self._ports.wall() - seconds,
            seconds=seconds,
            counts=self._counts,
            detail=verdict.value,
            cpu_seconds=work.cpu_seconds,
            bytes=carried,
            saved=max(0, self._counts.get("bytes", 0) - carried),
        )
        self._status.finished("integrity", outcome)
        self._counts = {}

    def _complain(self, problems: list[tuple[str, str]]) -> None:
        """Say what was left out, once for as long as it stays the same."""
        if problems != self._complained:
            self._complained = problems
            for path, reason in problems:
                self.log.warning("left out %s: %s", path, reason)

    def _rehash_due(self) -> bool:
        """Whether it is time to read everything again, whatever stat says (threats 35)."""
        due = self._ports.monotonic() - self._last_rehash >= self._ground.settings.tree.rehash_interval
        if due:
            self._last_rehash = self._ports.monotonic()
        return due
