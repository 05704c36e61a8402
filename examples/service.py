"""A service that answers from files which a cluster keeps in step: it embeds a worker node, and reloads by a hook.

Run it beside a master: ``python examples/service.py outrider.toml 127.0.0.1 8080``; ask it with
``echo bread | nc 127.0.0.1 8080``. What it answers stands in ``shop/prices.json`` of the master's home.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import outrider


class Prices:
    """What the service knows. A reload replaces all of it at once, so that no answer mixes two versions."""

    def __init__(self, home: Path) -> None:
        self._file = home / "shop/prices.json"
        self._prices: dict[str, float] = {}
        self._generation = 0

    def reload(self, event: outrider.GenerationEvent) -> None:
        """The hook: a plain function, so that it runs in a thread and may read files."""
        # If this file is no JSON it raises: the node names that in its log, and the old prices stay.
        self._prices, self._generation = json.loads(self._file.read_text("utf-8")), event.number

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One line in, one line out."""
        name = (await reader.readline()).decode().strip()
        price = self._prices.get(name, "unknown")
        writer.write(f"{name}: {price} (generation {self._generation})\n".encode())
        await writer.drain()
        writer.close()


async def serve(config: str, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C: signals are the host's business, a node sets no handler."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    settings = outrider.Settings.load(config)
    prices = Prices(settings.node.home)
    async with outrider.Worker(settings, hooks=outrider.Hooks(on_generation=prices.reload)) as worker:
        await worker.wait_for(1)  # who has no files yet has no answers: the door opens when the first have come
        async with await asyncio.start_server(prices.answer, host, port) as server:
            print(f"serving generation {worker.generation} on port {server.sockets[0].getsockname()[1]}", flush=True)
            await ending.wait()


if __name__ == "__main__":
    try:
        asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    except outrider.SettingsError as error:
        sys.exit(str(error))
