"""A TCP proxy that is slow, late, or goes silent without a word: what a long and bad line does, on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tests.support.processes import free_port

_PIECE = 16 * 1024


class Proxy:
    """Carries connections to ``port``; all of it runs in a thread of its own.

    ``delay_s`` is how late each byte arrives, ``bytes_per_s`` how many go through in each direction of a connection.
    """

    def __init__(self, port: int, *, delay_s: float = 0.0, bytes_per_s: float = float("inf")) -> None:
        self.port = free_port()
        self.delay_s = delay_s
        self.bytes_per_s = bytes_per_s
        self.carried = 0
        self._to = port
        self._frozen = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def stop(self) -> None:
        """Every connection ends."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def freeze(self) -> None:
        """The connections of this moment carry nothing any more, and nobody is told; later ones do."""
        frozen, self._frozen = self._frozen, threading.Event()
        frozen.set()

    def cut(self) -> None:
        """The connections of this moment end."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        try:
            far, far_out = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            near_out.transport.abort()
            return
        frozen = self._frozen
        for reader, writer in ((near, far_out), (far, near_out)):
            task = self._loop.create_task(self._pump(reader, writer, frozen))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frozen: threading.Event) -> None:
        """Read with the pace of the line, write when each piece is due."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        writing = self._loop.create_task(self._write(due, writer, frozen))
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(_PIECE):
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                    due.put_nowait((self._loop.time() + self.delay_s, data))
            due.put_nowait((self._loop.time() + self.delay_s, b""))
            await writing
        finally:
            writing.cancel()
            writer.close()

    async def _write(
        self, due: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, frozen: threading.Event
    ) -> None:
        while True:
            when, data = await due.get()
            await asyncio.sleep(when - self._loop.time())
            if frozen.is_set():
                await asyncio.Event().wait()
            if not data:
                return
            self.carried += len(data)
            writer.write(data)
            with contextlib.suppress(OSError):
                await writer.drain()


@contextlib.contextmanager
def proxied(port: int, *, delay_s: float = 0.0, bytes_per_s: float = float("inf")) -> Iterator[Proxy]:
    """A proxy for one test."""
    proxy = Proxy(port, delay_s=delay_s, bytes_per_s=bytes_per_s)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
