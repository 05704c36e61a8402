"""A session: what both roles serve, and where files may lie."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.channels import Side
from tests.support.loop import run
from tests.support.network import Fabric
from tests.support.peers import send_file
from tests.support.ports import simulated_ports

from outrider.errors import Refusal, RefusedByPeer
from outrider.exchange.session import Ground, Session
from outrider.protocol import commands as c
from outrider.protocol.bodies import TaskFault, TransferPath
from outrider.protocol.commands import Command
from outrider.protocol.faults import Fault
from outrider.protocol.seal import NoSeal
from outrider.settings import Live, Settings
from outrider.store.home import Home
from outrider.transport.channel import Channel


class Owner:
    """Serves what the session serves."""

    def __init__(self) -> None:
        self.session: Session | None = None

    def connected(self, channel: Channel) -> None:
        del channel

    def process_request(self, command: Command, payload: bytes) -> Any:
        assert self.session is not None
        return self.session.serve(command, payload)

    def lost(self, reason: str) -> None:
        del reason


class Desk:
    """A session on a home, and a peer by hand."""

    def __init__(self, session: Session, peer: Side, home: Path) -> None:
        self.session, self.peer, self.home = session, peer, home

    async def ask(self, command: Command, payload: bytes = b"") -> bytes:
        return await self.peer.channel.request(command, payload, 20)

    def files(self) -> list[str]:
        return [path.name for path in (self.home / "queue" / "cluster").rglob("*") if path.is_file()]


def with_desk(folder: Path, story: Callable[[Desk], Coroutine[Any, Any, None]], **given: Any) -> None:
    async def whole() -> None:
        fabric = Fabric(Random(1))
        home = Home(folder)
        home.open()
        settings = Settings.from_mapping({"node.home": str(folder), **given})
        owner = Owner()
        session = Session(Ground(Live(settings), simulated_ports(fabric, "here"), home, NoSeal()), owner)
        session.also_serve({c.INTEGRITY_SYNC_END: session.deliver})
        owner.session = session
        peer = Side(simulated_ports(fabric, "there"), {}, NoSeal(), None)
        await peer.ports.network.listen("", 1516, lambda: peer.channel)
        await simulated_ports(fabric, "here").network.dial("there", 1516, lambda: session.channel)
        await session.open_transfers("worker1")
        session.worker = "worker1"
        session.channel.connection.known()
        peer.channel.connection.known()
        await story(Desk(session, peer, folder))
        session.channel.close("the end")
        await session.close()
        home.close()

    run(whole())


def test_an_echo_comes_back(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        assert await desk.ask(c.ECHO, b"\0\xff") == b"\0\xff"

    with_desk(tmp_path, story)


async def send_shared(desk: Desk, path: bytes, data: bytes, content: bytes | None = None) -> bytes:
    """Send a file as ``send_file`` does: without a task."""
    await desk.ask(c.NEW_FILE, path)
    await desk.ask(c.FILE_UPD, path + b" " + data)
    return await desk.ask(c.FILE_END, path + b" " + hashlib.sha256(content or data).digest())


def test_a_file_of_a_program_goes_to_the_shared_folder_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "tmp/inner").mkdir(parents=True)

    async def story(desk: Desk) -> None:
        for content in (b"one", b"another"):
            assert await send_shared(desk, b"/tmp/inner/a", content) == b"File received correctly"
            assert (tmp_path / "tmp/inner/a").read_bytes() == content
        with pytest.raises(RefusedByPeer):
            await send_shared(desk, b"/tmp/inner/a", b"cut", content=b"cut off")
        for path in (b"/tmp/absent/a", b"/tmp/inner"):
            with pytest.raises(RefusedByPeer, match="cannot write tmp/"):
                await send_shared(desk, path, b"x")
        assert (tmp_path / "tmp/inner/a").read_bytes() == b"another"
        assert desk.files() == []

    with_desk(tmp_path, story, **{"local.send_folder": "tmp/"})


def test_threat_24_without_a_setting_no_file_of_a_program_is_taken(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()

    async def story(desk: Desk) -> None:
        with pytest.raises(RefusedByPeer, match="files go to queue/cluster/worker1/"):
            await send_shared(desk, b"/tmp/a", b"x")
        assert list((tmp_path / "tmp").iterdir()) == []

    with_desk(tmp_path, story)


def test_a_whole_file_reaches_the_task_that_waits_for_it(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        task, arrival = desk.session.tasks.open()
        path = await send_file(desk.peer, "worker1", b"content")
        assert await desk.ask(c.INTEGRITY_SYNC_END, task + b" " + str(path).encode()) == b"File correctly received"
        file = await arrival
        assert file.read_bytes() == b"content"
        desk.session.remove_later(file)
        await asyncio.sleep(1)
        assert desk.files() == []

    with_desk(tmp_path, story)


def test_a_file_that_nobody_waits_for_is_refused_with_3027_and_removed(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        path = await send_file(desk.peer, "worker1", b"content")
        with pytest.raises(RefusedByPeer) as caught:
            await desk.ask(c.INTEGRITY_SYNC_END, b"unknown " + str(path).encode())
        assert caught.value.code == 3027
        await asyncio.sleep(1)
        assert desk.files() == []

    with_desk(tmp_path, story)


def test_a_file_that_is_not_whole_fails_its_task(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        task, arrival = desk.session.tasks.open()
        path = await send_file(desk.peer, "worker1", b"content", whole=False)
        with pytest.raises(RefusedByPeer) as caught:
            await desk.ask(c.INTEGRITY_SYNC_END, task + b" " + str(path).encode())
        assert caught.value.code == 3040
        with pytest.raises(Exception, match="3040"):
            await arrival

    with_desk(tmp_path, story)


@pytest.mark.parametrize("payload", [b"", b"notask", b"task /etc/passwd", b"task queue/cluster/worker2/x"])
def test_an_end_that_names_no_file_of_this_worker_is_refused_and_removes_nothing(
    tmp_path: Path, payload: bytes
) -> None:
    other = tmp_path / "queue" / "cluster" / "worker2"

    async def story(desk: Desk) -> None:
        other.mkdir()
        (other / "x").touch()
        with pytest.raises(RefusedByPeer) as caught:
            await desk.ask(c.INTEGRITY_SYNC_END, payload)
        assert caught.value.code == 1000
        assert (other / "x").exists()

    with_desk(tmp_path, story)


def test_a_cancel_reaches_the_send(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        outgoing = desk.session.tasks.sending(b"task")
        await desk.ask(c.CANCEL_TASK, TaskFault(b"task", Fault(3039)).encode())
        assert outgoing.cancelled
        for odd in (b"", b"task", b"task no json"):
            with pytest.raises(RefusedByPeer):
                await desk.ask(c.CANCEL_TASK, odd)

    with_desk(tmp_path, story)


def test_a_string_comes_in_parts_and_may_be_dropped(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        name = await desk.ask(c.NEW_STR, b"6")
        await desk.ask(c.STR_UPD, name + b" one")
        await desk.ask(c.STR_UPD, name + b"  tw")
        assert desk.session.strings.take(name) == b"one tw"
        unused = await desk.ask(c.NEW_STR, b"9")
        assert await desk.ask(c.ERR_STR, b"9") == unused
        assert await desk.ask(c.ERR_STR, b"9") == b"None"

    with_desk(tmp_path, story)


def test_closing_removes_what_came_and_waits_for_what_is_being_removed(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await send_file(desk.peer, "worker1", b"1", whole=False)
        path = await send_file(desk.peer, "worker1", b"22")
        task, arrival = desk.session.tasks.open()
        await desk.ask(c.INTEGRITY_SYNC_END, task + b" " + str(path).encode())
        await arrival
        assert len(desk.files()) == 2
        await desk.session.close()
        assert desk.files() == []

    with_desk(tmp_path, story)


def test_telling_a_closed_link_is_no_error(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        fault = TaskFault(None, Fault(1000, "stopping"))
        desk.session.tell(c.CANCEL_TASK, fault)
        await asyncio.sleep(1)
        assert desk.peer.channel.bytes_in > 0
        desk.session.channel.close("done")
        desk.session.tell(c.CANCEL_TASK, fault)
        await desk.session.report(c.CANCEL_TASK, fault)

    with_desk(tmp_path, story)


def test_a_path_is_made_only_of_a_checked_name() -> None:
    with pytest.raises(Refusal):
        TransferPath.decode(b"queue/cluster/worker1/..", "worker1")
