"""``send_file``: a program has a file sent to another node, where it appears at the same path (specification 2.4, 3.2).

Only files of the folder that ``local.send_folder`` names are sent, and by itself it names none. A few are under way
at one time: a peer takes only so many files at once, and the nodes' own must find room as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from outrider.errors import Refusal, StoreError
from outrider.exchange.sending import Sender
from outrider.logs import Tag, task_logger
from outrider.ports import Threads
from outrider.printable import counted
from outrider.protocol import faults
from outrider.protocol.bodies import SharedPath
from outrider.settings import Settings
from outrider.store.shared import SharedFolder

_AT_ONCE: Final = 2


class SendFile:
    """See the module. ``sender`` gives the way to a node by its name; :class:`Refusal` if it is not connected."""

    def __init__(self, settings: Settings, threads: Threads, sender: Callable[[str], Sender]) -> None:
        home = settings.node.home
        self._homes = {f"{home}/".encode(), f"{home.resolve()}/".encode()}
        self._folder = SharedFolder.of(settings)
        self._threads = threads
        self._sender = sender
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._log = task_logger(Tag.LOCAL_SERVER, settings.node.name)

    def begin(self, payload: bytes) -> Awaitable[int]:
        """``<absolute path> <node>``: how many bytes were sent, to be awaited.

        :class:`Refusal` at once if the path lies elsewhere or the node is not there, and later with 3034 if the file
        is not there; other errors are the transfer's.
        """
        if self._folder is None:
            raise Refusal(faults.DENIED, 'this node sends no files: set local.send_folder, e.g. "tmp/"')
        absolute, space, node = payload.partition(b" ")
        if not space or b" " in node:
            raise Refusal(faults.INTERNAL, "send_file needs an absolute path, a space and a node's name")
        path = self._folder.path(self._below_home(absolute))
        return self._send(self._folder, path, self._sender(node.decode()))

    def _below_home(self, absolute: bytes) -> bytes:
        for home in self._homes:
            if absolute.startswith(home):
                return absolute.removeprefix(home)
        shown = absolute[:200].decode(errors="replace")
        raise Refusal(faults.INTERNAL, f"the path {shown!r} is refused: it does not begin with this node's home")

    async def _send(self, folder: SharedFolder, path: SharedPath, sender: Sender) -> int:
        async with self._turn:
            try:
                source = await self._threads.run(folder.open, path)
                size = await sender.file(source, path)
            except StoreError as error:
                raise Refusal(faults.NO_FILE, str(error)) from error
        self._log.info("sent %s, %s", path, counted(size, "byte"))
        return size
