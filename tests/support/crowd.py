"""Hundreds of whole workers in one process: ``python -m tests.support.crowd FOLDER PORT FIRST COUNT``.

Each has a home of its own below the folder, real sockets and a real disk; what they share is the process, its threads
and what installed packages bring. They run until SIGTERM.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.processes import KEY

from outrider.ports import Ports
from outrider.relay.handlers import Handler, handler
from outrider.settings import Settings
from outrider.worker import Worker
from outrider.world import real_ports, share_freed_memory

DESCRIPTORS = 16_384
_AT_ONCE = 16
"""Workers that start at one time: a thousand first scans together would only wait for one another."""


def more_descriptors() -> None:
    """As many as the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, most), most))


def name_of(number: int) -> str:
    """Of one worker of a crowd."""
    return f"crowd{number:04}"


def settings_of(folder: Path, port: int, number: int) -> Settings:
    """Defaults but for the tree; nobody edits a tree of these, so that none is watched."""
    home = folder / name_of(number)
    (home / "tree").mkdir(parents=True, exist_ok=True)
    plain = {
        "node.home": str(home),
        "node.name": home.name,
        "link.nodes": ["127.0.0.1"],
        "link.port": port,
        "link.key": KEY,
        "tree.files": [{"folder": "tree/", "remove_subdirs_if_empty": True}],
        "tree.threads": 1,
        "watch.enabled": False,
    }
    return Settings.from_mapping(plain)


async def _run(folder: Path, port: int, numbers: range) -> None:
    ports, slots, ending = real_ports(), asyncio.Semaphore(_AT_ONCE), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    workers = [_worker(folder, port, number, ports) for number in numbers]
    running = [asyncio.create_task(_started(worker, slots)) for worker in workers]
    await ending.wait()
    for worker in workers:
        await worker.stop()
    await asyncio.gather(*running)


def _worker(folder: Path, port: int, number: int, ports: Ports) -> Worker:
    return Worker(settings_of(folder, port, number), ports)


async def _started(worker: Worker, slots: asyncio.Semaphore) -> None:
    """Its run, with a slot for its first moments."""
    async with slots:
        running = asyncio.create_task(worker.run())
        while not worker.status.snapshot().link.connected and not running.done():  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.02)
    await running


def main(folder: str, port: str, first: str, count: str) -> None:
    """See the module."""
    logging.basicConfig(level=logging.ERROR)
    share_freed_memory()
    more_descriptors()
    with patch("outrider.relay.handlers.handler", _remembering(handler)), patch("outrider.plugins._installed", _none):
        asyncio.run(_run(Path(folder), int(port), range(int(first), int(first) + int(count))))


def _none() -> tuple[list[Any], list[Any]]:
    return [], []


def _remembering(make: Callable[..., Handler]) -> Callable[..., Handler]:
    """The arguments of a call are the same at each worker: it is enough to read them from the code once."""
    known: dict[str, Handler] = {}

    @functools.wraps(make)
    def made(name: str, function: Callable[..., Any], *, quick: bool = False) -> Handler:
        row = known.get(name) or known.setdefault(name, make(name, function, quick=quick))
        return replace(row, function=function)

    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
