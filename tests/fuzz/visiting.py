"""A loop without sockets and a line that leads nowhere, for a server's connection that is fed by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any


class Loop(asyncio.SelectorEventLoop):
    """Runs what is due; an error that nobody took is raised."""

    def __init__(self) -> None:
        super().__init__()
        self._wrong: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self._wrong.append(context))

    def run_soon(self) -> None:
        """Some turns."""

        async def turns() -> None:
            for _ in range(8):
                await asyncio.sleep(0)

        self.run_until_complete(turns())
        assert not self._wrong, self._wrong


class Line(asyncio.Transport):
    """Takes what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self._closing = False

    def write(self, data: Any) -> None:
        """Nowhere."""

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closing

    def close(self) -> None:
        """No more is taken."""
        self._closing = True

    def abort(self) -> None:
        """The same."""
        self._closing = True

    def pause_reading(self) -> None:
        """There is no more to read."""

    def resume_reading(self) -> None:
        """Likewise."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """None other is wanted."""


@contextlib.contextmanager
def quiet_loop() -> Iterator[Loop]:
    """A loop as the current one."""
    loop = Loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()
