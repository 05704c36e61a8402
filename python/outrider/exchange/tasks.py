"""Announced transfers: an id on the one side, a wait for the file on the other (specification 3.1, 3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

from outrider.codes import Code
from outrider.errors import PeerError, Refusal
from outrider.printable import counted
from outrider.protocol import faults
from outrider.protocol.bodies import task_id
from outrider.protocol.faults import Fault
from outrider.status import unheard


class Outgoing:
    """A send under way; the peer may have lost interest."""

    def __init__(self) -> None:
        self.cancelled = False


class Tasks:
    """The transfers of one connection: those we wait for, those we send. ``most`` says how many may wait.

    ``hit`` is told of the setting that one too many runs into.
    """

    def __init__(self, random: Random, most: Callable[[], int], hit: Callable[[str], None] = unheard) -> None:
        self._hit = hit
        self._random = random
        self._most = most
        self._waiting: dict[bytes, asyncio.Future[Path]] = {}
        self._sending: dict[bytes, Outgoing] = {}

    def open(self, given: bytes = b"") -> tuple[bytes, asyncio.Future[Path]]:
        """Announce a transfer to us: its id (``given``, if the peer chose one) and where its file will be told."""
        if len(self._waiting) >= (most := self._most()):
            self._hit("limits.tasks")
            raise Refusal(faults.INTERNAL, f"{counted(most, 'task')} open already, which is the limit (limits.tasks)")
        name = given or task_id(self._random.getrandbits(128))
        if name in self._waiting:
            raise Refusal(faults.INTERNAL, f"the task {name[:64]!r} is open already")
        arrival: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
        self._waiting[name] = arrival
        arrival.add_done_callback(lambda _: self._waiting.pop(name, None))
        return name, arrival

    def deliver(self, name: bytes, file: Path) -> None:
        """The file of task ``name`` lies whole at ``file``; refused with 3027 if nothing waits for it."""
        arrival = self._waiting.get(name)
        if arrival is None or arrival.done():
            raise Refusal(faults.UNKNOWN_TASK, name.decode(errors="replace"))
        arrival.set_result(file)

    def fail(self, name: bytes | None, fault: Fault) -> bool:
        """The peer cannot send the file of ``name``; whether something waited for it."""
        arrival = self._waiting.get(name) if name else None
        if arrival is None or arrival.done():
            return False
        arrival.set_exception(
            PeerError(f"the peer gave up sending: Error {fault.code} - {fault.detail}").coded(Code.PEER_GAVE_UP)
        )
        return True

    def sending(self, name: bytes) -> Outgoing:
        """Note that we send for the peer's task ``name``; pair with :meth:`sent`."""
        outgoing = self._sending[name] = Outgoing()
        return outgoing

    def sent(self, name: bytes) -> None:
        """The send for ``name`` is over."""
        self._sending.pop(name, None)

    def cancel(self, name: bytes | None) -> None:
        """The peer does not want the file of its task ``name`` any more."""
        if name in self._sending:
            self._sending[name].cancelled = True
