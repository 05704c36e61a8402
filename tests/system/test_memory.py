"""Memory over real sockets: what a link held is given back when the link ends, not when Python looks for garbage."""

from __future__ import annotations

import asyncio
import gc
from asyncio.sslproto import SSLProtocol
from pathlib import Path

from tests.support.embedded import embedded
from tests.support.processes import wait_until
from tests.support.proxy import proxied

from outrider import Master, Worker

RECONNECTS = 8
BOTH_ENDS = 2


def _held() -> int:
    """How many streams' TLS, with a quarter of a megabyte each, the process holds."""
    return sum(isinstance(one, SSLProtocol) for one in gc.get_objects())


def test_threat_47_a_link_that_ends_gives_back_its_tls_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with Master(embedded(tmp_path / "master")) as master:
            with proxied(master.addresses[0][1]) as line:
                async with Worker(embedded(tmp_path / "worker", line.port)) as worker:
                    since = await _connected(worker, None)
                    for _ in range(RECONNECTS):
                        line.cut()
                        since = await _connected(worker, since)
                    # of the last link something may still unwind
                    await asyncio.to_thread(wait_until, lambda: _held() <= BOTH_ENDS)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(story())
    finally:
        gc.enable()


async def _connected(worker: Worker, since: float | None) -> float:
    """Wait for another link than that which stands since then; since when it does."""
    now = worker.status.snapshot
    await asyncio.to_thread(wait_until, lambda: now().link.connected and now().link.since != since)
    found = now().link.since
    assert found is not None
    return found
