"""One session with one peer: its channel, its transfers, and the commands that both roles serve (2.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from outrider.errors import Refusal
from outrider.exchange.extension import Extended, Extension
from outrider.exchange.inbox import Inbox
from outrider.exchange.sending import Sender
from outrider.exchange.tasks import Tasks
from outrider.ports import Ports
from outrider.protocol import faults
from outrider.protocol.bodies import TaskFault, TransferPath, split_once
from outrider.protocol.commands import (
    CANCEL_TASK,
    ECHO,
    ERR_STR,
    FILE_END,
    FILE_UPD,
    NEW_FILE,
    NEW_STR,
    STR_UPD,
    Command,
    by_name,
)
from outrider.protocol.connection import Connection, LinkLimits
from outrider.protocol.faults import Fault
from outrider.protocol.seal import NothingClear, Seals
from outrider.protocol.transfer import Strings
from outrider.settings import Live
from outrider.status import Status
from outrider.store.home import Home
from outrider.store.shared import SharedFolder
from outrider.supervise import Supervisor, within
from outrider.transport.answers import Heard, Reply
from outrider.transport.channel import Channel, Owner
from outrider.transport.turning import Turn

Serve = Callable[[bytes], Reply | Awaitable[Reply]]
_STRING_ID_BYTES = 64
"""The id of a string and the space after it end before this: we give ids of ten digits at most."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What every session of a node stands on; without an ``extension`` links stay with the base protocol."""

    live: Live
    ports: Ports
    home: Home
    seal: Seals
    extension: Extension | None = None


class Session:
    """See the module. With :meth:`also_serve` a role adds its commands, and those of its kinds, to those of 2.1.

    ``status`` counts the limits that the peer runs into.
    """

    def __init__(
        self,
        ground: Ground,
        owner: Owner,
        *,
        handshake_deadline: float | None = None,
        status: Status | None = None,
    ) -> None:
        live, ports = ground.live, ground.ports
        settings = live.now
        hit = (status or Status()).limit_hit
        self.worker = ""
        self.extended: Extended | None = None  # the peer, once the link is inside TLS
        self._home = ground.home
        self._live = live
        self._ports = ports
        self._commands: dict[bytes, Command] = {}
        self._serves: dict[bytes, Serve] = {}
        connection = Connection(
            NothingClear() if settings.link.tls == "required" else ground.seal.link(),
            ports.random,
            serves=self._commands,
            limits=self._link_limits,
            handshake_deadline=handshake_deadline,
        )
        self.channel = Channel(connection, owner, ports, hit)
        self.tasks = Tasks(ports.random, lambda: live.now.limits.tasks, hit)
        self.sender = Sender(self.channel, self.tasks, ports, live)
        self.strings = Strings(ports.random, lambda: live.now.limits, hit=hit)
        self._removals: set[asyncio.Future[None]] = set()
        self._inbox = Inbox(
            ports.threads,
            live,
            now=ports.monotonic,
            hold=lambda: self.channel.hold("disk"),
            release=lambda: self.channel.release("disk"),
            shared=SharedFolder.of(settings),
            hit=hit,
        )

        self.also_serve(self._common())

    def also_serve(self, commands: Mapping[Command, Serve]) -> None:
        """Add commands that this side answers; before the channel opens."""
        self._commands |= by_name(commands)
        self._serves |= {command.name: serve for command, serve in commands.items()}

    async def open_transfers(self, worker: str) -> None:
        """Make the folder for what is sent to and received from ``worker``; used once :attr:`worker` is set."""
        await self._ports.threads.run(self._home.open_transfers, worker)

    def serve(self, command: Command, payload: bytes) -> Reply | Awaitable[Reply]:
        """Answer a request of the peer."""
        return self._serves[command.name](payload)

    def request(self, command: Command, payload: bytes = b"") -> asyncio.Future[bytes]:
        """Ask the peer; see :meth:`Channel.request`."""
        return self.channel.request(command, payload, self._timeout_s)

    def ask(self, command: Command, payload: bytes, heard: Heard) -> None:
        """Ask the peer; see :meth:`Channel.ask`."""
        self.channel.ask(command, payload, self._timeout_s, heard)

    async def start_tls(self, turn: Turn) -> None:
        """Turn the link to TLS; see :meth:`Channel.start_tls`."""
        await self.channel.start_tls(turn, self._timeout_s)

    def tell(self, command: Command, fault: TaskFault) -> None:
        """Tell the peer that something failed, without waiting to hear that it heard."""
        self.channel.tell(command, fault.encode(), self._timeout_s)

    def tell_last(self, command: Command, payload: bytes) -> None:
        """Tell the peer as the link ends: whether it hears it depends on what is on the way to it."""
        self.channel.tell(command, payload, self._timeout_s)

    async def report(self, command: Command, fault: TaskFault) -> None:
        """Tell the peer that something failed, if it can still be told."""
        if self.channel.is_open:
            await self.request(command, fault.encode())

    async def deliver(self, payload: bytes) -> Reply:
        """An ``_e`` command: the file of a task is whole and lies at a path; refused unless both are true.

        A file that nobody waits for is removed, as the original does, but only out of the peer's folder.
        """
        task, name = split_once(payload)
        path = TransferPath.decode(name, self.worker)
        await self._inbox.settled(path)
        file = self._inbox.take(path)
        if file is not None:
            try:
                self.tasks.deliver(task, file)
            except Refusal:
                self.remove_later(file)
                raise
        else:
            fault = Fault(faults.FILE_ERROR, f"{path} did not arrive whole")
            known = self.tasks.fail(task, fault)
            raise Refusal(*fault) if known else Refusal(faults.UNKNOWN_TASK, task.decode(errors="replace"))
        return Reply(b"File correctly received")

    def remove_later(self, file: Path) -> None:
        """Remove a transferred file, off the loop."""
        self._removals.add(task := asyncio.ensure_future(self._inbox.remove(file)))
        task.add_done_callback(self._removals.discard)

    async def end(self, tasks: Supervisor, reason: str) -> None:
        """End the role's tasks while the peer can still be told, then the channel, then what came over it."""
        await tasks.stop()
        self.channel.close(reason)
        await within(1, self.channel.closed())
        await self.close()

    async def close(self) -> None:
        """The channel is gone: nothing of its transfers stays."""
        await asyncio.gather(*self._removals, return_exceptions=True)
        await self._inbox.abandon()

    @property
    def _timeout_s(self) -> float:
        return self._live.now.intervals.communication.timeout_cluster_request

    def _link_limits(self) -> LinkLimits:
        limits = self._live.now.limits
        return LinkLimits(
            limits.unknown_frame_bytes,
            limits.frame_bytes,
            limits.message_bytes,
            limits.open_messages,
            answers_under_way=limits.answers_under_way,
            unread_answers_bytes=limits.unread_answers_bytes,
        )

    def _common(self) -> dict[Command, Serve]:
        return {
            ECHO: Reply,
            NEW_FILE: self._new_file,
            FILE_UPD: self._inbox.extend,
            FILE_END: self._inbox.end,
            NEW_STR: lambda payload: Reply(self.strings.begin(payload)),
            STR_UPD: self._extend_string,
            ERR_STR: lambda payload: Reply(self.strings.drop_unused(payload) or b"None"),
            CANCEL_TASK: self._cancel,
        }

    def _new_file(self, payload: bytes) -> Awaitable[Reply]:
        return self._inbox.begin(payload, self.worker, self._home.transfers(self.worker))

    def _extend_string(self, payload: bytes) -> Reply:
        name, _ = split_once(payload[:_STRING_ID_BYTES])
        self.strings.extend(name, memoryview(payload)[len(name) + 1 :])  # 5 MiB of an old peer are not copied
        return Reply(b"String updated")

    def _cancel(self, payload: bytes) -> Reply:
        self.tasks.cancel(TaskFault.decode(payload).task)
        return Reply(b"Request received correctly")
