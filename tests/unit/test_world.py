"""The real world: clocks that go on, threads that are threads."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import sys
import threading
import time

import pytest

from outrider.errors import StoreError
from outrider.world import ThreadPool, real_ports


def test_work_runs_in_another_thread_and_its_outcome_comes_back() -> None:
    def fail() -> None:
        raise StoreError("disk")

    async def story() -> None:
        pool = ThreadPool()
        assert await pool.run(threading.get_ident) != threading.get_ident()
        assert await pool.run("{}-{b}".format, 1, b=2) == "1-2"
        with pytest.raises(StoreError, match="disk"):
            await pool.run(fail)

    asyncio.run(story())


def test_the_loop_goes_on_while_threads_are_busy() -> None:
    async def story() -> None:
        pool, release = ThreadPool(2), threading.Event()
        working = [asyncio.ensure_future(pool.run(release.wait, 60)) for _ in range(4)]
        await asyncio.sleep(0)
        assert not any(work.done() for work in working)
        release.set()
        assert await asyncio.gather(*working) == [True] * 4

    asyncio.run(story())


def test_the_monotonic_clock_is_the_loop_s_own_so_that_timers_and_deadlines_agree() -> None:
    async def story() -> None:
        loop, ports = asyncio.get_running_loop(), real_ports()
        assert loop.time() <= ports.now().monotonic <= loop.time()
        assert abs(ports.now().wall - time.time()) < 60

    asyncio.run(story())


def test_glibc_takes_the_options_for_memory() -> None:
    code = "from outrider.world import share_freed_memory; print(share_freed_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(platform.libc_ver()[0] == "glibc")
