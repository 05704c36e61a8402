"""What the peer asks of a channel: handed to its owner, answered at once or when a task has the answer.

Whatever serving runs into is an answer too: it never ends the channel. What the answer is, the owner knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from outrider.errors import PeerError
from outrider.ports import Instant, Ports
from outrider.protocol.commands import Command
from outrider.protocol.events import Requested
from outrider.transport.answers import Reply, reply_to

if TYPE_CHECKING:
    from outrider.transport.channel import Channel, Owner

_log = logging.getLogger("outrider.transport")
_BUSY = "requests at work"


class Serving:
    """The requests of one channel's peer, and the tasks that work on those which take longer.

    Reading stops while these are ``answers_under_way``, or a peer that asks on would fill memory.
    """

    def __init__(self, channel: Channel, owner: Owner, ports: Ports, hit: Callable[[str], None]) -> None:
        self._channel = channel
        self._owner = owner
        self._ports = ports
        self._hit = hit
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[None], None] = {}  # in the order in which they came
        self._busy = False

    def serve(self, event: Requested, now: Instant) -> None:
        """Answer at once, or begin to."""
        reply: Reply | Awaitable[Reply] | None
        try:
            reply = self._owner.process_request(event.command, event.payload)
        except Exception as error:  # noqa: BLE001  (whatever a request runs into is the peer's answer, never our end)
            reply = self._failed(event.command, error)
        if reply is None:
            return
        if isinstance(reply, Reply):
            self._channel.connection.reply(event.counter, reply.name, reply.payload, now)
            if reply.turn is not None:
                self._channel.turn(reply.turn)
            if reply.then is not None:
                reply.then()
        else:
            task = self._loop.create_task(self._serve_later(event, reply))
            self._tasks[task] = None
            task.add_done_callback(self._served)
            if len(self._tasks) >= self._channel.connection.limits().answers_under_way and not self._busy:
                self._busy = True
                self._hit("limits.answers_under_way")
                self._channel.hold(_BUSY)

    def end(self) -> None:
        """The channel has ended: nobody waits for what is at work."""
        for task in self._tasks:
            task.cancel()

    async def _serve_later(self, event: Requested, work: Awaitable[Reply]) -> None:
        try:
            reply = await work
        except Exception as error:  # noqa: BLE001  (as in serve)
            reply = self._failed(event.command, error)
        self._channel.connection.reply(event.counter, reply.name, reply.payload, self._ports.now())
        self._channel.flush_soon()

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if self._busy and len(self._tasks) < self._channel.connection.limits().answers_under_way:
            self._busy = False
            self._channel.release(_BUSY)

    def _failed(self, command: Command, error: Exception) -> Reply:
        """The answer to a request that failed; what is our own fault stands in our own log, in full."""
        if not isinstance(error, PeerError | ValueError):
            _log.error("cannot serve %s of %s: %s", command, self._channel.address, error or type(error).__name__)
        return reply_to(error)
