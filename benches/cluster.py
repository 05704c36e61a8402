"""A master and workers as processes that stay, and what they cost: time, CPU of both ends, bytes on the wire, memory.

Workers reach their master through a relay that counts; it is a thread here, which costs both sides of every
comparison the same machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple
from unittest.mock import patch

from outrider.demo.processes import NodeProcess

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_LONGEST_S: Final = 600
_RARE: Final = {
    "OUTRIDER_INTERVALS__WORKER__SYNC_INTEGRITY": "3600",
    "OUTRIDER_INTERVALS__WORKER__SYNC_AGENT_INFO": "3600",
    "OUTRIDER_INTERVALS__WORKER__KEEP_ALIVE": "3600",
    "OUTRIDER_INTERVALS__WORKER__CONNECTION_RETRY": "1",
    "OUTRIDER_INTERVALS__MASTER__RECALCULATE_INTEGRITY": "3600",
    "OUTRIDER_INTERVALS__MASTER__SYNC_AGENT_GROUPS": "3600",
    "OUTRIDER_INTERVALS__MASTER__MAX_ALLOWED_TIME_WITHOUT_KEEPALIVE": "36000",
}
"""What happens is what a change made happen, and the bytes are those of the change."""


class Cost(NamedTuple):
    """Seconds of wall time and of CPU (both ends), bytes of both directions together."""

    wall_s: float
    cpu_s: float
    sent: int


class Relay:
    """A port that leads to another, and counts what passes in both directions."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No more connections; those that stand end with their peers."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._to)
                for one, other in ((near, far), (far, near)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        buffer = memoryview(bytearray(1 << 20))
        with contextlib.suppress(OSError):
            while size := one.recv_into(buffer):
                self.bytes += size
                other.sendall(buffer[:size])
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Resident:
    """A master and workers that are in step and stay; ``first`` is what that took, its CPU with Python's start."""

    def __init__(self, master: NodeProcess, workers: list[NodeProcess], relay: Relay) -> None:
        self.master, self.workers, self.relay = master, workers, relay
        self.first = Cost(workers[0].round_seconds, self.cpu_s(), relay.bytes)

    async def cost(self, change: Callable[[], object], there: Callable[[NodeProcess], bool]) -> Cost:
        """What it takes from the end of ``change`` until ``there`` holds at every worker, and until all is quiet."""
        cpu, sent = self.cpu_s(), self.relay.bytes
        change()
        started = time.perf_counter()
        while not all(there(worker) for worker in self.workers):
            await asyncio.sleep(0.001)
            if time.perf_counter() - started > _LONGEST_S:
                raise RuntimeError("the workers do not come in step")
        wall_s = time.perf_counter() - started
        await asyncio.sleep(0.5)  # the worker's word of it, and sweeping
        return Cost(wall_s, self.cpu_s() - cpu, self.relay.bytes - sent)

    def cpu_s(self) -> float:
        """CPU seconds of all nodes so far."""
        return sum(map(cpu_of, (self.master.pid, *(worker.pid for worker in self.workers))))


@asynccontextmanager
async def resident(
    base: Path, fill: Callable[[Path], object], workers: int = 1, *, held: Callable[[Path], object] | None = None
) -> AsyncIterator[Resident]:
    """Start nodes and bring them in step; ``fill`` makes the master's tree in its home, ``held`` what workers hold."""
    key_file = write_key(base)
    with patch.dict(os.environ, _RARE):
        master = NodeProcess("master", "master", base, key_file)
        fill(master.home)
        await master.start()
        relay = Relay(master.port)
        nodes = [NodeProcess("worker", f"worker{number + 1}", base, key_file) for number in range(workers)]
        try:
            for node in nodes:
                if held is not None:
                    held(node.home)
                node.port = relay.port
                await node.start()
            for node in nodes:
                await node.wait_until(lambda node=node: node.has_verdict_after(0), _LONGEST_S)  # type: ignore[misc]
            await asyncio.sleep(1)
            yield Resident(master, nodes, relay)
        finally:
            for node in (*nodes, master):
                await node.stop()
            relay.close()


def write_key(base: Path) -> Path:
    """A key file for the nodes of a bench."""
    base.mkdir(exist_ok=True, parents=True)
    key_file = base / "key"
    key_file.touch(mode=0o600)
    key_file.write_text("k" * 31 + "_\n")
    return key_file


def cpu_of(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def peak_mib(pid: int) -> float:
    """The most memory that a process has had, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def disk() -> str | None:
    """A folder on a real disk, so that what is durable costs what it costs: OUTRIDER_BENCH_DISK, else the usual one."""
    return os.environ.get("OUTRIDER_BENCH_DISK")
