"""``send_file`` over a real local socket: what is sent, what is refused, and what the program hears."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.local_clients import Program, in_thread, like_c, until
from tests.unit.relay.test_local import Stage, serve

from outrider.errors import ConnectionLostError, RefusedByPeer, RequestTimeoutError, StoreError
from outrider.exchange.sending import Sender, Source
from outrider.protocol.bodies import SharedPath


class Peer(Sender):
    """The way to a node that takes the content of files and nothing else; ``refuse`` is what it says instead."""

    def __init__(self, refuse: Exception | None = None) -> None:
        self.taken: dict[str, bytes] = {}
        self.refuse = refuse

    async def file(self, source: Source, path: SharedPath) -> int:
        data = b"".join(iter(lambda: source.read(1000), b""))
        source.close()
        if self.refuse:
            raise self.refuse
        self.taken[str(path)] = data
        return len(data)


def test_a_file_is_sent_and_the_program_hears_how_large_it_was(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/a").write_bytes(b"x" * 2500)

    async def story(stage: Stage) -> None:
        stage.peers["w1"] = peer = Peer()
        program = await Program.connect(stage.path)
        heard = await program.ask("send_file", f"{tmp_path}/tmp/a w1".encode())
        assert heard.payload == b"Forwarding file to master node"
        told = await program.next()
        assert (told.name, told.payload) == ("send_f_res", b"2500")
        program.answer(told, b"Response received")
        assert peer.taken == {"tmp/a": b"x" * 2500}
        await program.close()

    serve(tmp_path, "master", story, limits={"local.send_folder": "tmp/"})


@pytest.mark.parametrize(
    ("role", "peer", "code"),
    [
        ("worker", None, 3034),
        ("worker", StoreError("cannot read tmp/a: Input/output error"), 3034),
        ("worker", RefusedByPeer(1000, "files go elsewhere"), 1000),
        ("worker", ConnectionLostError("the link is closed"), 3023),
        ("master", ConnectionLostError("the link is closed"), 3022),
        ("worker", RequestTimeoutError("the peer did not answer in time"), 3020),
    ],
)
def test_a_file_that_was_not_sent_is_told_with_the_reason(
    tmp_path: Path, role: str, peer: Exception | None, code: int
) -> None:
    (tmp_path / "tmp").mkdir()
    if peer is not None:
        (tmp_path / "tmp/a").write_bytes(b"x")

    async def story(stage: Stage) -> None:
        stage.peers["w1"] = Peer(peer)
        program = await Program.connect(stage.path)
        assert (await program.ask("send_file", f"{tmp_path}/tmp/a w1".encode())).name == "ok"
        told = await program.next()
        assert told.json["__wazuh_exception__"]["__object__"]["code"] == code
        await program.close()

    serve(tmp_path, role, story, limits={"local.send_folder": "tmp/"})


def test_threat_22_who_leaves_has_no_file_sent(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/a").write_bytes(b"x")
    happened: list[str] = []

    class Slow(Peer):
        async def file(self, source: Source, path: SharedPath) -> int:
            happened.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                source.close()
                happened.append("ended")
            return await super().file(source, path)

    async def story(stage: Stage) -> None:
        stage.peers["w1"] = Slow()
        program = await Program.connect(stage.path)
        await program.ask("send_file", f"{tmp_path}/tmp/a w1".encode())
        await until(lambda: happened == ["begun"])
        await program.close()
        await until(lambda: happened == ["begun", "ended"])

    serve(tmp_path, "master", story, limits={"local.send_folder": "tmp/"})


def test_two_files_are_under_way_at_one_time_and_the_next_waits_its_turn(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    names = ["a", "b", "c", "d"]
    for name in names:
        (tmp_path / "tmp" / name).write_bytes(b"x")
    may = asyncio.Semaphore(0)
    begun: list[str] = []

    class Slow(Peer):
        async def file(self, source: Source, path: SharedPath) -> int:
            begun.append(str(path))
            await may.acquire()
            return await super().file(source, path)

    async def story(stage: Stage) -> None:
        stage.peers["w1"] = peer = Slow()
        program = await Program.connect(stage.path)
        for name in names:
            await program.ask("send_file", f"{tmp_path}/tmp/{name} w1".encode())
        for ended in range(3):
            await until(lambda: (len(begun), len(peer.taken)) == (ended + 2, ended))  # noqa: B023
            await asyncio.sleep(0.05)
            assert len(begun) == ended + 2, "one began before its turn"
            may.release()
        may.release()
        await until(lambda: sorted(peer.taken) == [f"tmp/{name}" for name in names])
        await program.close()

    serve(tmp_path, "master", story, limits={"local.send_folder": "tmp/"})


@pytest.mark.parametrize(
    ("payload", "folder", "said"),
    [
        ("{home}/tmp/a w1", "", "set local.send_folder"),
        ("{home}/tmp/a w9", "tmp/", "3022"),
        ("{home}/tmp/a", "tmp/", "needs an absolute path"),
        ("{home}/tmp/a b w1", "tmp/", "needs an absolute path"),
        ("tmp/a w1", "tmp/", "does not begin with this node's home"),
        ("/etc/passwd w1", "tmp/", "does not begin with this node's home"),
        ("{home}/etc/client.keys w1", "tmp/", "files that programs send lie in tmp/"),
        ("{home}/tmp/../etc/client.keys w1", "tmp/", "files that programs send lie in tmp/"),
        ("{home}/tmp/ w1", "tmp/", "files that programs send lie in tmp/"),
        ("{home}/tmp/a\0b w1", "tmp/", "files that programs send lie in tmp/"),
        ("{home}/tmp/" + "a/" * 1000 + "b w1", "tmp/", "files that programs send lie in tmp/"),
    ],
)
def test_threat_24_only_files_of_one_folder_are_sent(tmp_path: Path, payload: str, folder: str, said: str) -> None:
    async def story(stage: Stage) -> None:
        stage.peers["w1"] = peer = Peer()
        heard = await in_thread(like_c, stage.path, "send_file", payload.format(home=tmp_path).encode())
        assert heard.field == b"err --------"
        assert said in heard.payload.decode()
        assert peer.taken == {}

    serve(tmp_path, "master", story, limits={"local.send_folder": folder})
