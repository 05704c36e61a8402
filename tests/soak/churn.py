"""What keeps a cluster of real processes busy: files, agents, reconnects, and visitors that only knock."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

from tests.support.processes import Node, free_port, nodes, wait_until
from tests.support.proxy import Proxy, proxied
from tests.support.sqlite_store import full_agent, open_store

WORKERS = 3
_FILES = 200
_AGENTS = 300
_TICK_S = 0.1
_RECONNECT_EACH_S = 5.0
_KNOCK_EACH_S = 2.0
"""As a load balancer's probe does (threat 5)."""
_PATIENCE_S = 120.0


class Churn:
    """A master and its workers, two of which it reaches over a line that breaks now and then."""

    def __init__(self, master: Node, workers: list[Node], line: Proxy) -> None:
        self.master = master
        self.workers = workers
        self.counts = {"files written": 0, "files deleted": 0, "agents reported": 0, "connections cut": 0, "knocks": 0}
        self._line = line
        self._random = Random(1)
        self._cut_at = self._knock_at = time.monotonic()

    @property
    def nodes(self) -> list[Node]:
        """All of them, the master first."""
        return [self.master, *self.workers]

    def run(self, until: float) -> None:
        """Do one thing after another until this time (of the monotonic clock), then a last step for all."""
        while time.monotonic() < until:
            self._change()
            if self._random.random() < 0.2:
                self._report()
            now = time.monotonic()
            if now - self._cut_at > _RECONNECT_EACH_S:
                self._cut_at = now
                self._line.cut()
                self.counts["connections cut"] += 1
            if now - self._knock_at > _KNOCK_EACH_S:
                self._knock_at = now
                self._knock()
            time.sleep(_TICK_S)

    def settle(self) -> None:
        """Wait until everybody is in step again."""
        self.master.write("settled", b"%f" % time.monotonic())
        for worker in self.workers:
            wait_until(partial(self._in_step, worker), f"{worker.home.name} to get in step", _PATIENCE_S)

    def _in_step(self, worker: Node) -> bool:
        return worker.tree() == self.master.tree()

    def _change(self) -> None:
        path = f"{self._random.randrange(10)}/{self._random.randrange(_FILES)}"
        file = self.master.home / "tree" / path
        if file.exists() and self._random.random() < 0.2:
            file.unlink()
            self.counts["files deleted"] += 1
        else:
            self.master.write(path, self._random.randbytes(self._random.choice((100, 5_000, 200_000))))
            self.counts["files written"] += 1

    def _report(self) -> None:
        number = self._random.randrange(WORKERS)
        first = 1 + number * _AGENTS + self._random.randrange(_AGENTS - 20)
        agents = [full_agent(one, version=f"v{self._random.random()}") for one in range(first, first + 20)]

        async def put(home: Path) -> None:
            store = open_store(home)
            try:
                await store.put(agents)
            finally:
                await store.close()

        asyncio.run(put(self.workers[number].home))
        self.counts["agents reported"] += len(agents)

    def _knock(self) -> None:
        with contextlib.suppress(OSError), socket.create_connection((self.master.host, self.master.port), timeout=5):
            self.counts["knocks"] += 1


@contextlib.contextmanager
def churn(folder: Path) -> Iterator[Churn]:
    """A cluster in step, ready to be kept busy."""
    master = Node("master", folder / "master-node", port=free_port(), level="INFO")
    with proxied(master.port) as line:
        ports = [master.port, *[line.port] * (WORKERS - 1)]
        workers = [
            Node("worker", folder / f"worker{number}", port=port, level="INFO") for number, port in enumerate(ports, 1)
        ]
        with nodes(master, *workers):
            busy = Churn(master, workers, line)
            busy.settle()
            yield busy
