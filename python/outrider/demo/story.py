"""What the demo tells, step by step: sync, change, delete, crash, restart. The judge is hashlib."""

from __future__ import annotations

import asyncio
import secrets
import string
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random

from outrider.codes import Code
from outrider.demo import trees
from outrider.demo.processes import NodeProcess
from outrider.demo.show import Show, Step
from outrider.errors import SettingsError
from outrider.printable import counted

_SEED = 1
_WAIT_S = 120
_LEAST_FILES = 3
_CATCHES = 5
"""An exchange takes milliseconds; it is looked for in as many applies as this."""


def run(*, tree: Path | None = None, files: int = 0, as_json: bool = False) -> int:
    """Run the demo and show it; 0 if all trees were equal after every step, else 1.

    ``tree`` is a folder to take the files from (the standard library of this Python if none), ``files``
    how many at most (0: all).
    """
    with tempfile.TemporaryDirectory(prefix="outrider-demo-") as base:
        show = Show(as_json=as_json)
        with show:
            asyncio.run(_Story(Path(base), show).tell(tree or trees.standard_library(), files))
        return show.finish()


class _Story:
    def __init__(self, base: Path, show: Show) -> None:
        key_file = base / "cluster.key"
        key_file.touch(mode=0o600)
        key_file.write_text("".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32)) + "\n")
        self._show = show
        self._random = Random(_SEED)  # noqa: S311  (chooses files to change, no secrets)
        self._master = NodeProcess("master", "master", base, key_file)
        self._workers = [NodeProcess("worker", f"worker{number}", base, key_file) for number in (1, 2)]

    async def tell(self, source: Path, most: int) -> None:
        """The whole story; every process has ended when it returns."""
        master, (victim, _) = self._master, self._workers
        try:
            self._show.begin(Step(f"copying files of {source}"))
            count = await asyncio.to_thread(trees.fill, master.home, source, most)
            if count < _LEAST_FILES:
                raise SettingsError(
                    f"--tree, --files: {counted(count, 'file')} of {source}, and the demo needs {_LEAST_FILES} at least"
                ).coded(Code.USAGE)
            await self._start()
            await self._step(f"first sync of {counted(count, 'file')}", self._nothing)
            await self._step("one file changed", self._change(0))
            await self._step("1% of the files changed", self._change(0.01))
            await self._step("2% of the files deleted", self._delete(0.02))
            await self._step("half of them changed, worker1 killed while it applies", self._crash(victim))
            await self._step("master restarted, one file changed", self._restart)
        finally:
            await asyncio.gather(*(node.stop() for node in (*self._workers, master)))

    async def _start(self) -> None:
        await self._master.start()
        for worker in self._workers:
            worker.port = self._master.port

    async def _step(self, name: str, event: Callable[[], Awaitable[object]]) -> None:
        """Let something happen, then wait until each worker's tree equals the master's."""
        step = Step(name)
        self._show.begin(step)
        sent = self._master.bytes_sent
        before = [worker.verdicts for worker in self._workers]
        started = time.perf_counter()
        await event()
        wanted = await asyncio.to_thread(trees.digests, self._master.home)
        waits = [
            self._in_step(worker, verdicts, wanted, started)
            for worker, verdicts in zip(self._workers, before, strict=True)
        ]
        step.seconds = list(await asyncio.gather(*waits))
        step.bytes_sent = self._master.bytes_sent - sent
        step.files = len(wanted)
        step.recovered = self._workers[0].recovered
        self._workers[0].recovered = ""
        self._show.end(step)

    async def _in_step(self, worker: NodeProcess, seen: int, wanted: dict[str, str], started: float) -> float | None:
        """Seconds until ``worker`` held what is wanted; ``None`` if it never did."""
        while time.perf_counter() - started < _WAIT_S:
            await worker.wait_until(partial(worker.has_verdict_after, seen), _WAIT_S)
            seen, now = worker.verdicts, time.perf_counter()
            if await asyncio.to_thread(trees.digests, worker.home) == wanted:
                return now - started
        return None

    async def _nothing(self) -> None:
        for worker in self._workers:
            await worker.start()

    def _change(self, share: float) -> Callable[[], Awaitable[object]]:
        return lambda: asyncio.to_thread(trees.change, self._master.home, share, self._random)

    def _delete(self, share: float) -> Callable[[], Awaitable[object]]:
        return lambda: asyncio.to_thread(trees.delete, self._master.home, share, self._random)

    def _crash(self, victim: NodeProcess) -> Callable[[], Awaitable[None]]:
        async def crash() -> None:
            for _ in range(_CATCHES):
                await asyncio.to_thread(trees.change, self._master.home, 1 / 2, self._random)
                if await self._exchanging(victim):
                    break
            await victim.kill()
            await victim.start()

        return crash

    async def _exchanging(self, worker: NodeProcess) -> bool:
        """Wait until ``worker`` is exchanging files; false if it was too quick to be seen at it."""
        journal = worker.home / ".outrider" / "journal"
        seen = worker.verdicts
        while not journal.exists():
            if worker.has_verdict_after(seen + 1):
                return False
            await asyncio.sleep(0)
        return True

    async def _restart(self) -> None:
        await self._master.stop()
        await asyncio.to_thread(trees.change, self._master.home, 0, self._random)
        await self._master.start()
