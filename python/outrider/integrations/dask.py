"""A folder on every Dask worker that is kept in step with a master, and tasks that wait for what they need in it.

The extra ``dask`` brings what this needs. A worker node of Outrider runs inside each Dask worker, on its event loop,
from the registration of :class:`KeptFolder` to the end of the Dask worker::

    client.register_plugin(KeptFolder({"link.nodes": ["192.0.2.10"], "link.key_file": "/etc/outrider/key"}))
    client.submit(lambda: (wait_for(7) / "rules/new.json").read_text())
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from distributed import Worker as DaskWorker
from distributed import WorkerPlugin, get_worker

from outrider.settings import Settings
from outrider.worker import Worker

NAME = "outrider"
"""Of the plugin: a second one that is registered takes the place of the first."""
_FOREIGN = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST = 64
"""Letters of a node's name."""


class _Running(NamedTuple):
    """A node, and the loop that it runs on."""

    node: Worker
    loop: asyncio.AbstractEventLoop


class KeptFolder(WorkerPlugin):
    """Keeps a home on every Dask worker in step with a master; register it with ``client.register_plugin``.

    ``settings`` are those of a worker, as :meth:`outrider.Settings.from_mapping` takes them, without name and home.
    They travel to the Dask workers as they are, a ``link.key`` among them: name a ``link.key_file``, or secure Dask's
    own connections. By itself each home lies in its Dask worker's local directory and ends with it, under a name that
    is used once. ``home`` is a path that stays, where ``{name}`` stands for the Dask worker's name.

    What keeps a node from starting (:class:`outrider.SettingsError`, :class:`outrider.StoreError`) is raised by
    ``register_plugin``.
    """

    name = NAME

    def __init__(self, settings: Mapping[str, Any], *, home: str = "") -> None:
        self.running: _Running | None = None
        self._settings = dict(settings)
        self._home = home

    async def setup(self, worker: DaskWorker) -> None:
        """Start the node inside ``worker``; it need not have reached its master when this returns."""
        stays = self._home.format(name=_plain(worker.name))
        home = Path(stays or Path(worker.local_directory) / NAME)
        # A new home has a new certificate, and the master would refuse a name that it has seen with another one.
        name = _plain(f"dask-{worker.name if stays else uuid4()}")
        await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
        settings = Settings.from_mapping({**self._settings, "node.home": str(home), "node.name": name})
        self.running = _Running(await Worker(settings).__aenter__(), asyncio.get_running_loop())

    async def teardown(self, worker: DaskWorker) -> None:
        """End the node, and remove its home unless that is one that stays."""
        del worker
        running, self.running = self.running, None
        if running is None:
            return
        try:
            await running.node.__aexit__(None, None, None)
        finally:
            if not self._home:
                await asyncio.to_thread(shutil.rmtree, running.node.settings.node.home, ignore_errors=True)


def kept() -> Worker:
    """The node inside the Dask worker that runs this task; a task that is a coroutine waits with its ``wait_for``.

    :class:`ValueError` outside of a Dask worker, :class:`RuntimeError` where no :class:`KeptFolder` is registered.
    """
    return _running().node


def wait_for(generation: int, timeout_s: float | None = None) -> Path:
    """Wait, in a task, until this Dask worker's home stands at ``generation`` or a later one; return the home.

    ``timeout_s`` is in seconds, ``None`` for no limit. :class:`TimeoutError` says where it stands instead,
    :class:`outrider.StoreError` that the node has ended; otherwise as :func:`kept`. :class:`TypeError` in a task that
    is a coroutine, whose event loop this would hold up: ``await kept().wait_for(generation)`` there.
    """
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise TypeError("this waits, and would hold up this event loop: await kept().wait_for(...) here")
    node, loop = _running()
    asyncio.run_coroutine_threadsafe(node.wait_for(generation, timeout_s), loop).result()
    return node.settings.node.home


def _running() -> _Running:
    plugin = get_worker().plugins.get(NAME)
    if not isinstance(plugin, KeptFolder) or plugin.running is None:
        raise RuntimeError("no folder is kept on this Dask worker: client.register_plugin(KeptFolder(...)) comes first")
    return plugin.running


def _plain(name: object) -> str:
    """A name as nodes may have it."""
    return _FOREIGN.sub("-", str(name)).strip("-")[:_LONGEST]
