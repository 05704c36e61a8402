"""Runs what a kind brings. What it raises is named in the log, counted, and goes no further (threat 49)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from outrider.errors import OutriderError, PeerError, Refusal, SettingsError
from outrider.exchange.session import Serve
from outrider.kinds.interface import Task, Work
from outrider.logs import TaskLogger
from outrider.protocol import faults
from outrider.protocol.commands import Command
from outrider.status import Status
from outrider.transport.answers import Reply

T = TypeVar("T")


class Guard:
    """What stands between one kind and everybody else."""

    def __init__(self, kind: str, status: Status, log: TaskLogger) -> None:
        self.kind = kind
        self._status = status
        self._log = log

    def call(self, what: str, work: Callable[[], T]) -> T | None:
        """What ``work`` returns; ``None`` if it raises."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001  (a package may fail in any way)
            self.failed(what, error)
        return None

    async def wait(self, what: str, work: Awaitable[object]) -> None:
        """Wait for ``work``, whatever comes of it."""
        try:
            await work
        except Exception as error:  # noqa: BLE001  (as above)
            self.failed(what, error)

    def serve(self, command: Command, serve: Serve) -> Serve:
        """``serve``, with an error's answer for whatever is no answer; a peer's own fault is no failure of the kind."""

        def guarded(payload: bytes) -> Reply | Awaitable[Reply]:
            try:
                reply = serve(payload)
                if not isinstance(reply, Reply) and inspect.isawaitable(reply):
                    return self._later(command, reply)
                return _sound(reply)
            except Exception as error:
                raise self._refusal(command, error) from error

        return guarded

    def tasks(self, ask: Callable[[], Iterable[Task]]) -> list[Task]:
        """The tasks that ``ask`` gives, their failures counted; whoever runs them names these and tries again."""
        return self.call("its tasks", lambda: [self._counted(name, work) for name, work in ask()]) or []

    def failed(self, what: str, error: Exception) -> None:
        """Name and count a failure."""
        self._count()
        self._log.error("%s failed at %s: %s", self.kind, what, error or type(error).__name__, exc_info=error)

    def _counted(self, name: str, work: Work) -> Task:
        async def counted() -> None:
            try:
                await work()
            except SettingsError as error:  # of the kind's own options: no reason to try again
                self.failed(name, error)
            except OutriderError:
                raise
            except Exception:
                self._count()
                raise

        return name, counted

    async def _later(self, command: Command, work: Awaitable[Reply]) -> Reply:
        try:
            return _sound(await work)
        except Exception as error:
            raise self._refusal(command, error) from error

    def _refusal(self, command: Command, error: Exception) -> Exception:
        if isinstance(error, PeerError | ValueError):
            return error
        self.failed(str(command), error)
        return Refusal(faults.INTERNAL, type(error).__name__)

    def _count(self) -> None:
        self._status.count(f"kind_{self.kind}_failed")


def _sound(reply: Any) -> Reply:
    if isinstance(reply, Reply) and isinstance(reply.payload, bytes | bytearray | memoryview):
        return reply
    raise TypeError(f"a request is answered with a Reply of bytes, not with {type(reply).__name__}")
