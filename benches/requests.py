"""Requests of each route, one at a time and 100 in flight, beside a bare asyncio pair that sends the same frames.

Ours: a master and two workers with all that runs on them, in one process, over loopback; all ask ``outrider.ping``.
The peer (``requests_bare.py``), in one process too: the same bytes as Fernet tokens (none on the local socket), four
exchanges for each hop in the same order and with as many turnarounds, and nothing that looks at them. Times are those
of all requests together.
Routes 1 to 3 are measured between nodes; route 4, which has no other wire, over the local socket: once asked by the
peer's own program, so that what differs is the node alone, and once by our client, which writes and reads what it asks.

The last row is the 99th percentile of requests through the master to a worker, 100 in flight, while that worker is at
work on one that takes longer than all of them; beside it the same without that one.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cryptography.fernet import Fernet

from benches.requests_bare import Answer, Bare
from benches.rows import Row
from outrider import AsyncLocalClient, Settings
from outrider.master import Master
from outrider.protocol.api import Request
from outrider.relay.builtin import builtin
from outrider.relay.handlers import Handlers
from outrider.worker import Worker

_KEY = "k" * 32
_RESULT = b'{"text": "0123456789", "time": 1700000000.123456}'
_SOCKET = "queue/cluster/c-internal.sock"
_IN_FLIGHT = 100
_SLOW_S = 200.0

Ask = Callable[[], Awaitable[Any]]


def run(*, short: bool) -> list[Row]:
    """Each route, twice."""
    return asyncio.run(_run(*(3, 300) if short else (5, 2_000)))


async def _run(runs: int, requests: int) -> list[Row]:
    rows = []
    brought = patch("outrider.plugins.builtin", _calls)  # as if a package had brought one more
    with tempfile.TemporaryDirectory() as folder, brought:
        async with _nodes(Path(folder)) as ours, _bare(Path(folder)) as bare:
            for route in _ROUTES:
                for name, at_once in (("one at a time", 1), (f"{_IN_FLIGHT} in flight", _IN_FLIGHT)):
                    # Ours and the peer's take turns, so that a machine whose pace changes changes both.
                    pairs = [
                        (await _time(ours[route], at_once, requests), await _time(bare[route], at_once, requests))
                        for _ in range(runs)
                    ]
                    mine, its = map(statistics.median, zip(*pairs, strict=True))
                    row = Row(f"{requests} requests, {route}, {name}", mine, "bare asyncio + Fernet", its, ">= 0.6x")
                    rows.append(row)
            rows.append(await _tail(ours[_ROUTES[1]][0], ours[_SLOW][0], runs, requests))
    return rows


async def _tail(ask: Ask, slow: Ask, runs: int, requests: int) -> Row:
    pairs = []
    for _ in range(runs):
        without = await _percentile(ask, requests)
        holding = asyncio.ensure_future(slow())
        pairs.append((await _percentile(ask, requests), without))
        if holding.done():
            raise RuntimeError("the slow request has ended before the others")
        holding.cancel()
    ours, without = map(statistics.median, zip(*pairs, strict=True))
    return Row("p99 beside a slow request", ours, "p99 without it", without, "1x")


async def _percentile(ask: Ask, requests: int) -> float:
    """The time that 99 of 100 requests stay below."""
    times: list[float] = []

    async def timed() -> None:
        started = time.perf_counter()
        await ask()
        times.append(time.perf_counter() - started)

    await _time([timed], _IN_FLIGHT, requests)
    return statistics.quantiles(times, n=100)[98]


async def _time(asks: list[Ask], at_once: int, requests: int) -> float:
    left = iter(range(requests))

    async def one_after_another(ask: Ask) -> None:
        for _ in left:
            await ask()

    started = time.perf_counter()
    await asyncio.gather(*(one_after_another(asks[number % len(asks)]) for number in range(at_once)))
    return time.perf_counter() - started


def _request(**fields: Any) -> bytes:
    return Request(call="outrider.ping", f_kwargs={"text": "0123456789"}, **fields).encode()


_LOCAL = _request()
_DISTRIBUTED = _request(request_type="distributed_master", nodes=("worker2",))
_SLOW = "slow"
_ROUTES = ("worker to master", "worker to worker", "master to worker", "program to master", "our client to master")


def _calls() -> Handlers:
    table = builtin()

    @table.call("bench.slow")
    async def slow() -> None:
        await asyncio.sleep(_SLOW_S)

    return table


@asynccontextmanager
async def _nodes(folder: Path) -> AsyncIterator[dict[str, list[Ask]]]:
    """Ours: for each route what asks once."""
    master = Master(_settings(folder, "master01", 0))
    running = [asyncio.create_task(master.run())]
    await master.started.wait()
    port = master.addresses[0][1]
    workers = [Worker(_settings(folder, name, port)) for name in ("worker1", "worker2")]
    running += [asyncio.create_task(worker.run()) for worker in workers]
    socket = folder / "master01" / _SOCKET
    while len(master.roster) < len(workers) or not socket.exists():  # noqa: ASYNC110  (no event says so)
        await asyncio.sleep(0.01)
    routes = workers[0].routes
    async with AsyncExitStack() as stack:
        programs = await _programs(socket)
        stack.callback(_close, programs)
        clients = [await stack.enter_async_context(AsyncLocalClient(socket)) for _ in range(_IN_FLIGHT)]
        asks: list[list[Ask]] = [
            [lambda: _good(routes.ask("1", _LOCAL))],
            [lambda: _good(routes.ask("1", _DISTRIBUTED))],
            [lambda: _good(master.routes.forward("1", "worker2", _LOCAL))],
            [partial(_heard, program) for program in programs],
            [partial(client.call, "outrider.ping", text="0123456789") for client in clients],
        ]
        slow = Request(call="bench.slow", request_type="distributed_master", nodes=("worker2",)).encode()
        yield {**dict(zip(_ROUTES, asks, strict=True)), _SLOW: [lambda: routes.ask("2", slow)]}
    for worker in workers:
        await worker.stop()
    await master.stop()
    await asyncio.gather(*running)


async def _good(waiting: Awaitable[Any]) -> None:
    answer = await waiting
    if not answer.ok or b"0123456789" not in answer.body:
        raise RuntimeError(answer.body)


async def _heard(program: Bare) -> None:
    if b"0123456789" not in (answer := await program.ask(_LOCAL)):
        raise RuntimeError(answer)


async def _programs(socket: Path) -> list[Bare]:
    """So many programs that know no more than the frames, connected."""
    loop = asyncio.get_running_loop()
    return [(await loop.create_unix_connection(lambda: Bare(None), str(socket)))[1] for _ in range(_IN_FLIGHT)]


def _close(programs: list[Bare]) -> None:
    for program in programs:
        program.transport.close()


def _settings(folder: Path, name: str, port: int) -> Settings:
    home = folder / name
    home.mkdir()
    link = {"key": _KEY, "bind_addr": "127.0.0.1", "port": port, "nodes": ["127.0.0.1"]}
    # The base protocol, as the peer has it: link.py compares the two.
    return Settings.from_mapping({"node": {"home": str(home), "name": name}, "link": {"require": "base", **link}})


@asynccontextmanager
async def _bare(folder: Path) -> AsyncIterator[dict[str, list[Ask]]]:
    """The peer's."""
    seal = Fernet(urlsafe_b64encode(_KEY.encode()))

    async def result(_: bytes) -> bytes:
        return _RESULT

    to_master = await _pair(seal, result)
    to_worker = await _pair(seal, result)
    through = await _pair(seal, to_worker.ask)
    loop = asyncio.get_running_loop()
    socket = folder / "bare.sock"
    server = await loop.create_unix_server(lambda: Bare(None, result), str(socket))
    programs = await _programs(socket)
    asks: list[Ask] = [partial(program.ask, _LOCAL) for program in programs]
    yield {
        _ROUTES[0]: [lambda: to_master.ask(_LOCAL)],
        _ROUTES[1]: [lambda: through.ask(_DISTRIBUTED)],
        _ROUTES[2]: [lambda: to_worker.ask(_LOCAL)],
        _ROUTES[3]: asks,
        _ROUTES[4]: asks,
    }
    _close([to_master, to_worker, through, *programs])
    server.close()


async def _pair(seal: Fernet, answer: Answer) -> Bare:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Bare(seal, answer), "127.0.0.1", 0)
    _, near = await loop.create_connection(lambda: Bare(seal), "127.0.0.1", server.sockets[0].getsockname()[1])
    server.close()
    return near
