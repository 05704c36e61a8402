"""Nodes of ours that meet a recording: real sockets, real files, time that runs faster between rounds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.recordings.peer import Door, Peer
from tests.recordings.vectors import KEY, META

from outrider.master import Master
from outrider.settings import Settings
from outrider.worker import Worker
from outrider.world import real_ports

FASTER = 20
"""The recorded session took 45 seconds, nearly all of them pauses between rounds."""


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds / FASTER)


def settings(home: Path, name: str, **more: Any) -> Settings:
    """The recorded node's settings, its intervals included."""
    intervals = META["cluster_json_overrides"]["intervals"]
    mapping = {
        "node": {"home": str(home), "name": name, "cluster": META["cluster"], "profile": "wazuh-4.9"},
        "link": {"key": KEY, "bind_addr": "127.0.0.1", "port": 0},
        "intervals": {"worker": intervals["worker"], "master": intervals["master"]},
    }
    for dotted, value in more.items():
        section, _, key = dotted.partition("__")
        target = mapping.setdefault(section, {})
        *path, last = key.split("__")
        for step in path:
            target = target.setdefault(step, {})
        target[last] = value
    return Settings.from_mapping(mapping)


@contextlib.asynccontextmanager
async def running_master(home: Path, **more: Any) -> AsyncIterator[tuple[Master, int]]:
    """A master of ours on ``home``, and its port."""
    master = Master(settings(home, META["master"], **more), replace(real_ports(), sleep=_sleep))
    running = asyncio.create_task(master.run())
    started = asyncio.create_task(master.started.wait())
    try:
        await asyncio.wait([running, started], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield master, master.addresses[0][1]
    finally:
        started.cancel()
        await master.stop()
        await running


@contextlib.asynccontextmanager
async def running_worker(home: Path, **more: Any) -> AsyncIterator[Peer]:
    """A worker of ours on ``home`` that has dialled a recorded master: the master's end of that link."""
    async with worker_and_peer(home, **more) as (_, peer):
        yield peer


@contextlib.asynccontextmanager
async def worker_and_peer(home: Path, **more: Any) -> AsyncIterator[tuple[Worker, Peer]]:
    """As :func:`running_worker`, with the worker."""
    door = Door(KEY, counter=3_079_358_067)
    port = await door.open()
    own = settings(home, META["worker"], link__port=port, link__nodes=["127.0.0.1"], **more)
    worker = Worker(own, replace(real_ports(), sleep=_sleep))
    running = asyncio.create_task(worker.run())
    try:
        yield worker, await door.came()
    finally:
        await worker.stop()
        await running
        await door.close()
