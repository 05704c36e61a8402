"""The master's half of integrity, for one worker: permission, comparison, files (specification 5.3 to 5.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from outrider.codes import Code
from outrider.errors import HeldBackError, OutriderError, ReportedError, TransportError
from outrider.exchange.sending import Opening
from outrider.exchange.session import Serve
from outrider.kinds.interface import LinkGround, Talk
from outrider.logs import Tag, TaskLogger, task_logger
from outrider.master.source import Source
from outrider.model import Manifest, Plan, diff
from outrider.printable import counted
from outrider.protocol import faults
from outrider.protocol.bodies import TaskFault, container_path
from outrider.protocol.commands import (
    CANCEL_TASK,
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
from outrider.protocol.faults import Fault
from outrider.status import Outcome, reported
from outrider.sync.generations import Deletions
from outrider.sync.permission import Permission
from outrider.sync.size_limit import SizeLimit
from outrider.transport.answers import Reply
from outrider.trying import Tries
from outrider.working import Work

_NAMES_TOLD = 10
"""A peer decides how many there are; the log does not grow with them."""
_SYNC = Opening(INTEGRITY_SYNC, INTEGRITY_SYNC_END, INTEGRITY_SYNC_ERROR)


class WorkerIntegrity(Talk):
    """Brings one worker in step with the source."""

    def __init__(self, link: LinkGround, source: Source) -> None:
        node = link.node
        self._session = link.session
        self._source = source
        self._tree = node.tree
        self._node = node.node.name
        self._ports = node.ports
        self._status = link.status
        self._supervisor = link.supervisor
        self._ground = node
        self._permission = Permission(lambda: node.settings.intervals.master.max_locked_integrity_time)
        self._limit = SizeLimit(lambda: node.settings.intervals.communication)
        self._complained = hash(frozenset[tuple[str, str]]())
        self._sent = 0  # bytes of the container of this round
        self._tries: Tries | None = None  # what the worker could not do, once it has joined

    def joined(self) -> None:
        """Its name is known."""
        self._tries = Tries(Tag.INTEGRITY_SYNC, self._ports, self._log(None), self._status, base_s=1, cap_s=1)

    def lost(self, reason: str) -> None:  # noqa: ARG002  (whatever it is)
        """Nobody tries any more."""
        if self._tries is not None:
            self._tries.forget()

    def serves(self) -> Mapping[Command, Serve]:
        """A worker's rounds."""
        return {
            INTEGRITY_PERMISSION: self.ask,
            INTEGRITY_CHECK: self.begin,
            INTEGRITY_CHECK_END: self._session.deliver,
            INTEGRITY_CHECK_ERROR: self.failed,
        }

    @property
    def free(self) -> bool:
        """Whether no round runs."""
        return self._permission.free

    def ask(self, _: bytes) -> Reply:
        """``syn_i_w_m_p``: whether the worker may begin a round."""
        return Reply(b"%a" % self._permission.ask(self._source.number, self._ports.monotonic()))

    def begin(self, payload: bytes) -> Reply:
        """``syn_i_w_m``: the worker's metadata comes."""
        task, arrival = self._session.tasks.open(payload)
        self._permission.lock(self._ports.monotonic())
        self._supervisor.start(Tag.INTEGRITY_CHECK, self._check(task, arrival))
        return Reply(task)

    def failed(self, payload: bytes) -> Reply:
        """``syn_i_w_m_r``: the metadata does not come, or the worker could not apply what we sent."""
        failed = TaskFault.decode(payload)
        if not self._session.tasks.fail(failed.task, failed.fault):
            if self._tries is not None:
                self._tries.failed(ReportedError("the worker reports: Error {} - {}".format(*failed.fault)), asked=True)
            self._status.count("worker_sync_failures")
            self._status.failure(reported("its files", str(failed.fault), self._ports.wall()))
        self._permission.release()
        return Reply(b"Error received")

    async def _check(self, task: bytes, arrival: asyncio.Future[Path]) -> None:
        with self._status.working() as work:
            await self._checked(task, arrival, work)

    async def _checked(self, task: bytes, arrival: asyncio.Future[Path], work: Work) -> None:
        log = self._log(task)
        started = self._ports.monotonic()
        detail, self._sent = "failed", 0
        try:
            manifest = await self._metadata(task, arrival)
            plan = await self._ports.threads.run(
                diff, self._source.manifest, manifest, self._tree.table, unseen=self._source.unseen
            )
            if plan:
                await self._hold_back(plan, len(manifest))
                await self._sync(plan, log, work)
                detail = "sent"
            else:
                await self._session.request(IN_STEP)
                self._status.stands(number=0, root=manifest.root, at=self._ports.wall(), files=len(manifest))
                detail = "in step"
                if self._tries is not None:
                    self._tries.worked()
        except asyncio.CancelledError:
            if not arrival.done():
                self._session.tell(CANCEL_TASK, TaskFault(task, Fault(faults.FILE_ERROR, "the master is stopping")))
            raise
        except TimeoutError:
            log.warning("the worker's metadata did not come in time")
        except HeldBackError as error:
            if self._tries is not None:
                self._tries.failed(error, asked=True)
        except OutriderError as error:
            log.error("%s", error)
        finally:
            arrival.cancel()
            self._permission.release()
            self._record(log, detail, self._ports.monotonic() - started, work)

    async def _metadata(self, task: bytes, arrival: asyncio.Future[Path]) -> Manifest:
        """What the worker holds; it is told when its file does not come in time or cannot be read."""
        try:
            async with asyncio.timeout(self._ground.settings.intervals.communication.timeout_receiving_file):
                path = await asyncio.shield(arrival)
        except TimeoutError:
            await self._session.report(CANCEL_TASK, TaskFault(task, Fault(faults.FILE_TIMEOUT)))
            raise
        try:
            manifest, unnameable = await self._tree.read_manifest(path)
        except OutriderError as error:
            await self._no_files(error)
            raise
        finally:
            self._session.remove_later(path)
        self._complain(unnameable)
        return manifest

    def _complain(self, unnameable: list[tuple[str, str]]) -> None:
        """Say once for as long as it stays the same which of the worker's names are left out of the comparison."""
        names = hash(frozenset(unnameable))
        if names == self._complained:
            return
        self._complained = names
        for name, why in unnameable[:_NAMES_TOLD]:
            self._log(None).warning("the worker's %s is left as it is: %s", name, why)
        if more := unnameable[_NAMES_TOLD:]:
            self._log(None).warning("so is what else of its files has such a name: %s", counted(len(more), "file"))

    async def _hold_back(self, plan: Plan, held: int) -> None:
        """An old worker deletes whatever it is told to: too much of its tree goes only once a person wants it so.

        The worker is told; its next round asks again (threats 31). A folder that is not mounted here brings no files:
        where some come it is another tree, as at a first meeting.
        """
        terms, (missing, shared, deleted) = self._ground.settings.generations, plan.counts
        free = missing or shared or terms.approve_deletions or self._source.manifest.root in self._source.approved
        if free or not Deletions(terms.delete_share, terms.delete_count).too_many(deleted, held):
            return
        error = HeldBackError(
            f"the step would delete {deleted} of {held} files there; it waits for: outrider approve, at the master"
        )
        await self._no_files(error)
        raise error

    async def _sync(self, plan: Plan, log: TaskLogger, work: Work) -> None:
        """Pack what differs and send it while it is packed."""
        started = self._ports.monotonic()
        log.info("files that are missing: %d, that differ: %d, too many: %d", *plan.counts)
        try:
            packer = await self._tree.pack(plan, self._limit.bytes)
        except OutriderError as error:
            await self._no_files(error)
            raise
        path = container_path(self._session.worker, self._ports.wall(), self._ports.random.getrandbits(128))
        sent = await self._session.sender.container(packer, _SYNC, path)
        self._sent = sent.size
        self._limit.sent(sent.size, sent.seconds, cancelled=sent.cancelled)
        if sent.cancelled:
            raise TransportError(f"the worker cancelled after {sent.size} bytes; the next container is smaller").coded(
                Code.CONTAINER_CANCELLED
            )
        for left, reason in packer.packed().left_out:
            log.warning("left out %s: %s", left, reason)
        log.info("sent %d bytes in %.3f s", sent.size, sent.seconds)
        seconds = self._ports.monotonic() - started
        counts = dict(zip(("missing", "shared", "extra"), plan.counts, strict=True))
        outcome = Outcome(
            ok=True,
            started=self._ports.wall() - seconds,
            seconds=seconds,
            counts=counts,
            cpu_seconds=work.cpu_seconds,
            bytes=sent.size,
        )
        self._status.finished("integrity_sync", outcome)

    async def _no_files(self, error: OutriderError) -> None:
        """Tell the worker that its round ends here; it waits for our word."""
        await self._session.report(INTEGRITY_SYNC_ERROR, TaskFault(None, Fault(faults.INTERNAL, str(error))))

    def _record(self, log: TaskLogger, detail: str, seconds: float, work: Work) -> None:
        log.info("%s, after %.3f s", detail, seconds)
        ok = detail != "failed"
        now = self._ports.wall()
        self._status.in_step(now, {"in step": "", "sent": "files were sent to it"}.get(detail, "its last round failed"))
        outcome = Outcome(
            ok=ok,
            started=now - seconds,
            seconds=seconds,
            detail=detail,
            cpu_seconds=work.cpu_seconds,
            bytes=self._sent,
        )
        self._status.finished("integrity", outcome)

    def _log(self, task: bytes | None) -> TaskLogger:
        name = task.decode(errors="replace") if task else None
        return task_logger(Tag.INTEGRITY_SYNC, self._node, peer=self._session.worker, task=name)
