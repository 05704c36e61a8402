"""The master's half of integrity, for one worker: permission, comparison, files (specification 5.3 to 5.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from outrider.codes import Code
from outrider.errors import OutriderError, ReportedError, TransportError
from outrider.exchange.sending import Opening
from outrider.exchange.session import Serve
from outrider.kinds.interface import LinkGround, Talk
from outrider.logs import Tag, TaskLogger, task_logger
from outrider.master.source import Source
from outrider.model import Manifest, Plan, diff
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
from outrider.status import Outcome
from outrider.sync.permission import Permission
from outrider.sync.size_limit import SizeLimit
from outrider.transport.channel import Reply
from outrider.trying import Tries

_NAMES_TOLD = 10
"""A peer decides how many there are; the log does not grow with them."""
_SYNC = Opening(INTEGRITY_SYNC, INTEGRITY_SYNC_END, INTEGRITY_SYNC_ERROR)


class WorkerIntegrity(Talk):
    """Brings one worker in step with the source."""

    def __init__(self, link: LinkGround, source: Source) -> None:
        node, intervals = link.node, link.node.settings.intervals
        times = intervals.communication
        self._session = link.session
        self._source = source
        self._tree = node.tree
        self._node = node.node.name
        self._ports = node.ports
        self._status = link.status
        self._supervisor = link.supervisor
        self._receiving_limit_s = times.timeout_receiving_file
        self._permission = Permission(intervals.master.max_locked_integrity_time)
        self._limit = SizeLimit(
            most=times.max_zip_size,
            least=times.min_zip_size,
            tolerance=times.zip_limit_tolerance,
            receiver_timeout_s=times.timeout_receiving_file,
        )
        self._complained = hash(frozenset[tuple[str, str]]())
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
        self._permission.release()
        return Reply(b"Error received")

    async def _check(self, task: bytes, arrival: asyncio.Future[Path]) -> None:
        log = self._log(task)
        started = self._ports.monotonic()
        detail = "failed"
        try:
            manifest = await self._metadata(task, arrival)
            plan = await self._ports.threads.run(
                diff, self._source.manifest, manifest, self._tree.table, unseen=self._source.unseen
            )
            if plan:
                await self._sync(plan, log)
                detail = "sent"
            else:
                await self._session.request(IN_STEP)
                detail = "in step"
                if self._tries is not None:
                    self._tries.worked()
        except asyncio.CancelledError:
            if not arrival.done():
                self._session.tell(CANCEL_TASK, TaskFault(task, Fault(faults.FILE_ERROR, "the master is stopping")))
            raise
        except TimeoutError:
            log.warning("the worker's metadata did not come in time")
        except OutriderError as error:
            log.error("%s", error)
        finally:
            arrival.cancel()
            self._permission.release()
            self._record(log, detail, self._ports.monotonic() - started)

    async def _metadata(self, task: bytes, arrival: asyncio.Future[Path]) -> Manifest:
        """What the worker holds; it is told when its file does not come in time or cannot be read."""
        try:
            async with asyncio.timeout(self._receiving_limit_s):
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
            self._log(None).warning("so are %d more of its files with such names", len(more))

    async def _sync(self, plan: Plan, log: TaskLogger) -> None:
        """Pack what differs and send it while it is packed."""
        started = self._ports.monotonic()
        log.info("%d files missing, %d differ, %d too many", *plan.counts)
        try:
            packer = await self._tree.pack(plan, self._limit.bytes)
        except OutriderError as error:
            await self._no_files(error)
            raise
        path = container_path(self._session.worker, self._ports.wall(), self._ports.random.getrandbits(128))
        sent = await self._session.sender.container(packer, _SYNC, path)
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
        outcome = Outcome(ok=True, started=self._ports.wall() - seconds, seconds=seconds, counts=counts)
        self._status.finished("integrity_sync", outcome)

    async def _no_files(self, error: OutriderError) -> None:
        """Tell the worker that its round ends here; it waits for our word."""
        await self._session.report(INTEGRITY_SYNC_ERROR, TaskFault(None, Fault(faults.INTERNAL, str(error))))

    def _record(self, log: TaskLogger, detail: str, seconds: float) -> None:
        log.info("%s, after %.3f s", detail, seconds)
        ok = detail != "failed"
        started = self._ports.wall() - seconds
        self._status.finished("integrity", Outcome(ok=ok, started=started, seconds=seconds, detail=detail))

    def _log(self, task: bytes | None) -> TaskLogger:
        name = task.decode(errors="replace") if task else None
        return task_logger(Tag.INTEGRITY_SYNC, self._node, peer=self._session.worker, task=name)
