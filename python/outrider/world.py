"""The real world of a node: the event loop's clock, the system's chance, a thread pool, sockets, watched folders."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import SystemRandom
from typing import ParamSpec, TypeVar

from outrider.ports import Ports
from outrider.store.watch import WatchedFolders
from outrider.transport.local import LocalSockets
from outrider.transport.tcp import TcpNetwork
from outrider.transport.tls import TlsStreams

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("outrider.world")
_THREADS = 12
"""Enough that a slow disk under one peer does not hold up the others; the bulk of the work has the core's threads.
Calls hold six of them at most (``limits.calls_in_threads``), and each of a host's four hooks one."""
_PATIENCE_S = 10
"""So long the end of a node waits for its threads: one that is stuck in a host's code may never come."""

_MALLOPT = {"M_TRIM_THRESHOLD": (-1, 4 << 20), "M_MMAP_THRESHOLD": (-3, 1 << 20), "M_ARENA_MAX": (-8, 1)}
"""Options of glibc's malloc: number and value. Sealing one part of a file takes 2.5 MiB for a moment: giving that back
to the machine each time would cost a fifth of the sealing in page faults."""


def share_freed_memory() -> bool:
    """Let what one thread frees serve the others, and large pieces go back to the machine; whether it was possible.

    Call it before any thread starts. By itself glibc gives each thread a heap of its own, and what an apply of
    100,000 files left in one of them no scan in another could use. Other C libraries have no such option.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*option) == 1 for option in _MALLOPT.values())


class ThreadPool:
    """Runs blocking work in threads of this node's own."""

    def __init__(self, threads: int = _THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="outrider")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a thread; a caller that is cancelled does not wait for it, but it runs to its end."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))

    async def close(self) -> None:
        """Take no more work and let the threads end; whether they have is told to the log alone."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def join() -> None:
            self._pool.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop has not waited, and is closed
                loop.call_soon_threadsafe(ended.set)

        joining = threading.Thread(target=join, name="outrider-end", daemon=True)
        joining.start()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await ended.wait()
        except TimeoutError:
            _log.warning("threads of this node have not ended within %d s: a hook or a call blocks", _PATIENCE_S)
        else:
            joining.join()  # it has nothing left to do


class Sockets(TcpNetwork, TlsStreams, LocalSockets):
    """Every stream of a real node: over TCP to other nodes, inside TLS as well, over unix sockets beside it."""


def real_ports(threads: ThreadPool | None = None) -> Ports:
    """The ports of a node that runs for real; whoever hands in ``threads`` closes them."""
    threads = threads or ThreadPool()
    return Ports(
        monotonic=time.monotonic,
        wall=time.time,
        cpu=time.process_time,
        random=SystemRandom(),
        threads=threads,
        network=Sockets(threads),
        watching=WatchedFolders(),
        sleep=asyncio.sleep,
    )
