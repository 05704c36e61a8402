"""Nodes in the process of a host, over real sockets: what they do, and what they leave as it was."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.support.authority import authority_at, certify
from tests.support.embedded import KEY, Footprint, embedded
from tests.support.folders import files_below

import outrider
from outrider import (
    AsyncLocalClient,
    Hooks,
    Master,
    Settings,
    SettingsError,
    StoreError,
    SyncMaster,
    SyncWorker,
    Worker,
)
from outrider.protocol.certificates import NodeRole

Loop = Callable[[], asyncio.AbstractEventLoop]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
WITHIN_S = 60
PAGE = (Path(__file__).parents[2] / "docs/embedding.md").read_text("utf-8")
ROLES: tuple[NodeRole, ...] = ("master", "worker")


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Loop:
    """Makes the event loop that a host has chosen."""
    return LOOPS[request.param]


def run(loop: Loop, story: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story)


def port_of(master: Master | SyncMaster) -> int:
    return master.addresses[0][1]


def test_two_masters_and_two_workers_live_on_one_loop_and_leave_nothing_behind(tmp_path: Path, loop: Loop) -> None:
    async def story() -> None:
        before = Footprint()
        async with AsyncExitStack() as nodes:
            pairs = []
            for name in ("a", "b"):
                master = await nodes.enter_async_context(Master(embedded(tmp_path / f"master-{name}")))
                settings = embedded(tmp_path / f"worker-{name}", port_of(master))
                pairs.append((name, master, await nodes.enter_async_context(Worker(settings))))
            for name, master, _ in pairs:
                (tmp_path / f"master-{name}/tree/file").write_text(name)
                assert await master.publish() == 2
            for name, _, worker in pairs:
                assert await worker.wait_for(2, WITHIN_S) == 2
                assert files_below(worker.settings.node.home, "tree") == {"tree/file": name.encode()}
            inside = before.differences()
            assert not set(inside) & {"signal handlers", "root logger", "loggers of ours"}, inside
            del inside  # its tasks
        assert before.differences() == {}

    run(loop, story())


@pytest.mark.parametrize("link", ["base", "extended", "tls from the first byte"])
def test_every_sort_of_link_carries_a_large_step_on_either_loop(tmp_path: Path, loop: Loop, link: str) -> None:
    changes: dict[str, Any] = {"link__require": link}
    if link.startswith("tls"):
        changes = {"link__tls": "required"}
        authority = authority_at(tmp_path / "master", now=time.time())
        for role in ROLES:
            certify(authority, tmp_path / role, role, role, now=time.time())
    large = {f"tree/{number}": bytes([number]) * 700_000 for number in range(8)}
    came = asyncio.Event()

    async def story() -> None:
        master_settings = embedded(tmp_path / "master", **changes)
        for path, content in large.items():
            (tmp_path / "master" / path).write_bytes(content)

        async def note(_: outrider.GenerationEvent) -> None:
            came.set()

        async with Master(master_settings) as master:
            settings = embedded(tmp_path / "worker", port_of(master), **changes)
            async with Worker(settings, hooks=Hooks(on_generation=note)) as worker, asyncio.timeout(WITHIN_S):
                await came.wait()
                assert files_below(tmp_path / "worker", "tree") == large
                assert worker.generation == (0 if link == "base" else 1)

    run(loop, story())


def test_programs_beside_an_embedded_node_reach_it_on_either_loop(tmp_path: Path, loop: Loop) -> None:
    async def story() -> None:
        async with Master(embedded(tmp_path / "master")) as master:
            socket = tmp_path / "master/queue/cluster/c-internal.sock"
            while not socket.exists():  # noqa: ASYNC110  (nothing else tells a program that the socket is there)
                await asyncio.sleep(0.01)
            async with AsyncLocalClient(socket) as client:
                assert [node.name for node in await client.nodes()] == [master.get_node().name]

    run(loop, story())


def test_an_error_of_a_start_is_raised_at_entry_and_leaves_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        before = Footprint()
        gone = embedded(tmp_path / "gone")
        (tmp_path / "gone/tree").rmdir()
        (tmp_path / "gone").rmdir()
        with pytest.raises(SettingsError, match=r"node\.home: .*/gone is not a folder"):
            await Worker(gone).__aenter__()
        async with Master(embedded(tmp_path / "master")) as master:
            with pytest.raises(SettingsError, match="another node runs on"):
                await Master(master.settings).__aenter__()
            with pytest.raises(SettingsError, match="is another master running there"):
                await Master(embedded(tmp_path / "other", port_of(master))).__aenter__()
            with pytest.raises(RuntimeError, match="a node runs once"):
                await master.__aenter__()
        assert before.differences() == {}

    asyncio.run(story())


class CrashError(Exception):
    """What no node expects."""


def crashing(settings: Settings) -> Worker:
    """A worker that runs into a defect of its own once it is told to."""

    class Crashing(Worker):
        crash = asyncio.Event()

        async def _stay_connected(self, halves: Any) -> None:
            del halves
            await self.crash.wait()
            raise CrashError("a defect")

    return Crashing(settings)


def test_a_crash_inside_surfaces_at_exit_and_whoever_waits_learns_of_it_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        before = Footprint()

        async def crash(name: str, *, heard_of: bool) -> None:
            async with crashing(embedded(tmp_path / name)) as worker:
                worker.crash.set()  # type: ignore[attr-defined]
                with pytest.raises(StoreError, match="this node has ended") if heard_of else nullcontext():
                    await worker.wait_for(1)

        with pytest.raises(CrashError, match="a defect"):
            await crash("one", heard_of=True)
        with pytest.raises(StoreError, match="this node has ended") as raised:
            await crash("two", heard_of=False)
        assert raised.value.__notes__ == ["the node two itself had ended: CrashError: a defect"]
        del raised
        assert before.differences() == {}

    asyncio.run(story())


def test_a_host_that_is_cancelled_while_it_enters_or_leaves_takes_the_node_along(tmp_path: Path) -> None:
    async def story() -> None:
        before = Footprint()
        entering = asyncio.create_task(Worker(embedded(tmp_path / "one")).__aenter__())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        entering.cancel()
        await asyncio.wait([entering])
        assert entering.cancelled()

        async def live() -> None:
            async with Worker(embedded(tmp_path / "two")):
                inside.set()
                await asyncio.Event().wait()

        inside = asyncio.Event()
        living = asyncio.create_task(live())
        await inside.wait()
        living.cancel()
        await asyncio.sleep(0)  # it leaves
        living.cancel()
        await asyncio.wait([living])
        del entering, living
        assert before.differences() == {}

    asyncio.run(story())


# what docs/embedding.md shows


def example(name: str) -> str:
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_ten_lines_are_a_program(tmp_path: Path) -> None:
    async def story() -> None:
        async with Master(embedded(tmp_path / "master")) as master:
            lines = [
                f'[node]\nhome = "{tmp_path / "worker"}"\nname = "worker"',
                f'[link]\nkey = "{KEY}"\nnodes = ["127.0.0.1"]\nport = {port_of(master)}',
                '[[tree.files]]\nfolder = "tree/"',
            ]
            (tmp_path / "outrider.toml").write_text("\n".join(lines))
            (tmp_path / "outrider.toml").chmod(0o600)
            (tmp_path / "worker/tree").mkdir(parents=True)
            code = [sys.executable, "-u", "-c", example("ten lines")]
            program = await asyncio.create_subprocess_exec(*code, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
            assert program.stdout is not None
            assert await program.stdout.readline() == b"generation 1 stands here\n"
            program.terminate()
            assert await program.wait() == -signal.SIGTERM, "no handler of a signal was set"

    asyncio.run(story())


def test_the_lines_without_a_loop_do_what_they_say(tmp_path: Path) -> None:
    defined: dict[str, Any] = {}
    exec(compile(example("without a loop"), "docs/embedding.md", "exec"), defined)
    with SyncMaster(embedded(tmp_path / "master")) as master:
        assert defined["serve"](embedded(tmp_path / "worker", port_of(master))).link.connected


# without a loop


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_program_without_a_loop_has_nodes_in_threads_of_their_own(tmp_path: Path, loop_factory: Loop | None) -> None:
    before = Footprint()
    heard: list[tuple[int, threading.Thread]] = []
    hooks = Hooks(on_generation=lambda event: heard.append((event.number, threading.current_thread())))
    with SyncMaster(embedded(tmp_path / "master"), loop_factory=loop_factory) as master:
        settings = embedded(tmp_path / "worker", port_of(master))
        with SyncWorker(settings, hooks=hooks, loop_factory=loop_factory) as worker:
            (tmp_path / "master/tree/file").write_text("one")
            assert master.publish() == master.generation == 2
            assert worker.wait_for(2, WITHIN_S) == worker.generation == 2
            assert (tmp_path / "worker/tree/file").read_text() == "one"
            assert worker.status.snapshot().link.connected
            with pytest.raises(TimeoutError, match="stands at generation 2, and did not reach 3 within 0 s"):
                worker.wait_for(3, 0)

            async def node_of(node: Worker) -> str:
                return node.get_node().name

            assert worker.ask(node_of) == "worker"
    assert heard[-1][0] == 2
    assert threading.main_thread() not in {thread for _, thread in heard}
    heard.clear()
    with pytest.raises(StoreError, match="this node does not run"):
        worker.wait_for(2)
    assert before.differences() == {}


def test_the_errors_of_a_node_in_a_thread_are_raised_where_the_host_waits(tmp_path: Path) -> None:
    before = Footprint()
    settings = embedded(tmp_path / "worker")
    with SyncWorker(settings), pytest.raises(SettingsError, match="another node runs on"), SyncWorker(settings):
        raise AssertionError("it must not start")

    async def inside_a_loop() -> None:
        with pytest.raises(TypeError, match="would hold up this event loop: use async with Worker"):
            SyncWorker(settings).__enter__()

    asyncio.run(inside_a_loop())
    with pytest.raises(CrashError):
        _enter_and_crash(settings)
    assert before.differences() == {}


def _enter_and_crash(settings: Settings) -> None:
    worker = SyncWorker(settings)
    worker.node = crashing(settings)
    with worker:

        async def crash(node: Worker) -> None:
            node.crash.set()  # type: ignore[attr-defined]
            await node.wait_for(1)

        with pytest.raises(StoreError, match="this node has ended"):
            worker.ask(crash)
