"""Files that the master announced: waited for, applied, and the master told what failed (specification 5.5)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from outrider.codes import Code
from outrider.errors import OutriderError, PeerError, RefusedByPeer, SyncError, TransportError
from outrider.exchange.session import Session
from outrider.logs import Tag, task_logger
from outrider.protocol import faults
from outrider.protocol.bodies import TaskFault
from outrider.protocol.commands import CANCEL_TASK, INTEGRITY_CHECK_ERROR
from outrider.protocol.faults import Fault
from outrider.store.tree import Applied, account_of
from outrider.sync.integrity import Verdict
from outrider.transport.answers import Reply


class Applies(Protocol):
    """Who the files are for: the rounds of one session, one of which may wait for them."""

    @property
    def receiving_limit_s(self) -> float:
        """How long a task waits for its file."""
        ...

    async def process_files_from_master(self, file: Path) -> Applied:
        """Apply the container at ``file``, all or nothing, and remove it."""
        ...

    def fail(self, error: OutriderError) -> None:
        """What the master sent could not be taken."""
        ...

    def conclude(self, verdict: Verdict, **counts: int) -> None:
        """What the master sent was applied; ``counts`` say what that came to."""
        ...

    async def sweep(self) -> None:
        """Remove what the apply replaced."""
        ...


class ReceiveIntegrityTask:
    """Waits for the files that the master announced, applies them, reports what failed."""

    def __init__(self, integrity: Applies, session: Session, task: bytes, arrival: asyncio.Future[Path]) -> None:
        self._integrity = integrity
        self._session = session
        self._task = task
        self._arrival = arrival
        self._log = task_logger(
            Tag.INTEGRITY_SYNC, session.worker, peer=session.channel.address, task=task.decode(errors="replace")
        )

    @property
    def reply(self) -> Reply:
        """What the announcement is answered with: the task's id."""
        return Reply(self._task)

    async def run(self) -> None:
        """The whole life of the task; it never raises an error of ours."""
        try:
            self._done(await self._integrity.process_files_from_master(await self._file()))
        except asyncio.CancelledError:
            self._arrival.cancel()
            self._session.tell(CANCEL_TASK, TaskFault(self._task, Fault(faults.FILE_ERROR, "the node is stopping")))
            raise
        except OutriderError as error:
            await self._failed(error)
            return
        except BaseException:
            # A round waits for this; what went wrong is told by the supervisor.
            self._integrity.fail(SyncError("what the master sent met a defect of this node"))
            raise
        await self._integrity.sweep()

    def _done(self, applied: Applied) -> None:
        self._log.info("%s", account_of(applied))
        self._integrity.conclude(
            Verdict.SYNCED, written=applied.written, deleted=applied.deleted, bytes=applied.bytes_written
        )

    async def _file(self) -> Path:
        try:
            async with asyncio.timeout(self._integrity.receiving_limit_s):
                return await self._arrival
        except TimeoutError:
            await self._session.report(CANCEL_TASK, TaskFault(self._task, Fault(faults.FILE_TIMEOUT)))
            raise _NoFileError("the master's file did not come in time") from None

    async def _failed(self, error: OutriderError) -> None:
        self._integrity.fail(SyncError(f"not applied: {error}").like(error))
        if isinstance(error, _NoFileError | TransportError):
            return
        try:
            await self._session.report(INTEGRITY_CHECK_ERROR, TaskFault(None, Fault(faults.INTERNAL, str(error))))
        except (TransportError, RefusedByPeer) as untold:
            self._log.warning("the master could not be told: %s", untold)


class _NoFileError(PeerError):
    """The master has been told already, by ``cancel_task``."""

    situation = Code.FILE_LATE
