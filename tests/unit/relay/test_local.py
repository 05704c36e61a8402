"""The local socket over a real one: each command of 2.4, the rules of C programs, limits."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.local_clients import Program, frame, in_thread, like_c, until

from outrider.client import AsyncLocalClient
from outrider.errors import ConnectionLostError, Refusal, RefusedByPeer, StoreError
from outrider.exchange.pending import Pending
from outrider.exchange.sending import Sender
from outrider.model import Manifest, NodeInfo
from outrider.protocol.api import Request
from outrider.protocol.commands import Command
from outrider.relay.local import LocalServer, Services
from outrider.relay.routes import Answer, Routes
from outrider.settings import Live, Settings
from outrider.status import Status
from outrider.world import real_ports

Control = Callable[[Command, bytes], Awaitable[bytes]]
KEY = "0123456789abcdefghijklmnopqrstuv"


class Echoes:
    """Routes whose answers say what was asked; a request ``wait`` is never answered."""

    def __init__(self) -> None:
        self.gone: list[str] = []
        self.cancelled = 0

    async def _answer(self, text: bytes, request: bytes) -> Answer:
        if request == b"wait":
            try:
                await asyncio.sleep(10**6)
            finally:
                self.cancelled += 1
        return Answer(text, ok=request != b"bad")

    def _soon(self, text: bytes, request: bytes) -> Pending[Answer]:
        return Pending.of(self._answer(text, request))

    def ask(self, client: str, request: bytes) -> Pending[Answer]:
        del client
        return self._soon(b"asked " + request, request)

    def forward(self, client: str, node: str, request: bytes) -> Pending[Answer]:
        del client
        if node != "w1":
            raise Refusal(3022, node)
        return self._soon(f"{node} ".encode() + request, request)

    def sendsync(self, client: str, request: bytes) -> Pending[Answer]:
        del client
        if request == b"alone":
            raise Refusal(3023)
        return self._soon(b"daemon " + request, request)

    def left(self, client: str) -> None:
        self.gone.append(client)


async def control(command: Command, payload: bytes) -> bytes:
    if payload == b"refuse":
        raise RefusedByPeer(1730, "w9")
    if payload == b"lose":
        raise ConnectionLostError("the link is closed")
    return f'"{command} {payload.decode()}"'.encode()


class Stage:
    """A server of one role with its socket."""

    def __init__(
        self,
        folder: Path,
        role: str,
        *,
        routes: Routes | None,
        control: Control,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = folder / "queue/cluster/c-internal.sock"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        given = {"node.home": str(folder), "link.key": KEY, "link.previous_keys": [KEY[::-1]], "log.level": "DEBUG"}
        settings = Settings.from_mapping({**given, **(limits or {})})
        self.status = Status()
        self.peers: dict[str, Sender] = {}
        self.routes = Echoes()
        self.server = LocalServer(
            Services(
                node=NodeInfo(name="n1", type=role, version="4.9.2", address=""),
                live=Live(settings),
                ports=replace(real_ports(), random=Random(1)),
                status=self.status,
                routes=routes or self.routes,
                control=control,
                manifest=_manifest,
                sender=self._sender,
            )
        )

    def _sender(self, node: str) -> Sender:
        if node not in self.peers:
            raise Refusal(3022, node)
        return self.peers[node]


async def _manifest() -> Manifest:
    entries = {path: {"mod_time": 1.0, "cluster_item_key": rule, "hash": letter * 128} for path, rule, letter in _FILES}
    wire = {
        path: {
            "mod_time": entry["mod_time"],
            "hash": entry["hash"],
            "merged": False,
            "cluster_item_key": entry["cluster_item_key"],
        }
        for path, entry in entries.items()
    }
    return Manifest.from_wire(json.dumps(wire).encode())


_FILES = [
    ("etc/rules/a.xml", "etc/rules/", "a"),
    ("etc/lists/b", "etc/lists/", "b"),
    ("etc/shared/c", "etc/shared/", "c"),
]


def serve(
    folder: Path,
    role: str,
    story: Callable[[Stage], Coroutine[Any, Any, None]],
    *,
    routes: Routes | None = None,
    control: Control = control,
    limits: Mapping[str, Any] | None = None,
) -> None:
    async def whole() -> None:
        stage = Stage(folder, role, routes=routes, control=control, limits=limits)
        serving = asyncio.create_task(stage.server.run())
        try:
            async with asyncio.timeout(30):
                await until(lambda: stage.server._listener is not None)
                await story(stage)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await asyncio.sleep(0.01)
        assert not stage.path.exists()

    asyncio.run(whole())


@pytest.mark.parametrize("role", ["master", "worker"])
def test_config_has_the_words_of_the_original_and_no_key(tmp_path: Path, role: str) -> None:
    async def story(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        heard = await program.ask("get_config")
        assert heard.field == b"ok ---------"
        assert {name: heard.json[name] for name in ("node_type", "node_name", "name", "port", "disabled")} == {
            "node_type": role,
            "node_name": "n1",
            "name": "wazuh",
            "port": 1516,
            "disabled": False,
        }
        assert heard.json["settings"]["log.level"] == "DEBUG"
        for key in (KEY, KEY[::-1]):
            assert key.encode() not in heard.payload
        await program.close()

    serve(tmp_path, role, story)


def test_hashes_are_those_of_rules_decoders_and_lists(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        heard = await in_thread(like_c, stage.path, "get_hash", b"")
        assert heard.json == {"etc/rules/a.xml": "a" * 128, "etc/lists/b": "b" * 128}

    serve(tmp_path, "worker", story)


def test_threat_23_who_asks_for_hashes_again_and_again_has_the_tree_looked_at_twice(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        gate, looks = asyncio.Event(), 0

        async def slow() -> Manifest:
            nonlocal looks
            looks += 1
            await gate.wait()
            if looks == 1:
                raise StoreError("the disk is gone")
            return await _manifest()

        stage.server.services = replace(stage.server.services, manifest=slow)
        first, flood, other, gone = [await Program.connect(stage.path) for _ in range(4)]
        first.send("get_hash")
        await until(lambda: looks == 1)
        for _ in range(200):
            flood.send("get_hash")
        other.send("get_hash")
        gone.send("get_hash")
        await gone.ask("echo")
        await gone.close()
        await flood.ask("echo")
        await other.ask("echo")
        gate.set()
        assert (await first.next()).field == b"err --------"
        for program, answers in ((flood, 200), (other, 1)):
            assert {(await program.next()).field for _ in range(answers)} == {b"ok ---------"}
        assert looks == 2
        for program in (first, flood, other):
            await program.close()

    serve(tmp_path, "worker", story)


def test_a_look_that_was_cancelled_before_it_began_is_nobody_s_answer(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        server = stage.server
        async with server._scanning:
            asked = asyncio.create_task(server.hashes())
            await asyncio.sleep(0)
            (look,) = server._looks
            look.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        assert (await server.hashes()).root == (await _manifest()).root

    serve(tmp_path, "worker", story)


def test_a_master_answers_nodes_and_health_at_once(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        assert (await in_thread(like_c, stage.path, "get_nodes", b"{}")).json == "get_nodes {}"
        assert (await in_thread(like_c, stage.path, "get_health", b"null")).json == "get_health null"
        refused = await in_thread(like_c, stage.path, "get_nodes", b"refuse")
        assert refused.name == "err"

    serve(tmp_path, "master", story)


@pytest.mark.parametrize(("payload", "code"), [(b"refuse", 1730), (b"lose", 3023)])
def test_a_worker_passes_on_what_the_master_says_and_that_it_failed(tmp_path: Path, payload: bytes, code: int) -> None:
    async def story(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        assert (await program.ask("get_nodes", b"{}")).payload == b"Sent request to master node"
        told = await program.next()
        assert (told.name, told.json) == ("control_res", "get_nodes {}")
        program.answer(told, b"Response received")
        assert (await program.ask("get_health", payload)).name == "ok"
        failed = await program.next()
        assert failed.name == "control_res"
        assert failed.json["__wazuh_exception__"]["__object__"]["code"] == code
        await program.close()

    serve(tmp_path, "worker", story)


def test_a_request_is_taken_and_its_result_comes_as_a_string(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        assert (await program.ask("dapi", b"x" * 1000)).payload == b"Added request to API requests queue"
        assert await program.string() == b"asked " + b"x" * 1000
        assert (await program.ask("dapi", b"bad")).name == "ok"
        failed = await program.next()
        assert (failed.name, failed.payload) == ("dapi_err", b"asked bad")
        await program.close()

    serve(tmp_path, "worker", story)


def test_a_master_forwards_to_the_worker_that_is_named_and_a_worker_does_not(tmp_path: Path) -> None:
    async def master(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        assert (await program.ask("dapi_fwd", b"w1 {}")).payload == b"Request forwarded to worker node"
        assert await program.string() == b"w1 {}"
        assert (await program.ask("dapi_fwd", b"w2 {}")).json["__wazuh_exception__"]["__object__"]["code"] == 3022
        assert (await program.ask("dapi_fwd", b"w1")).name == "err"
        await program.close()

    async def worker(stage: Stage) -> None:
        heard = await in_thread(like_c, stage.path, "dapi_fwd", b"w1 {}")
        assert (heard.name, heard.payload) == ("err", b"unknown command 'b'dapi_fwd''")

    serve(tmp_path, "master", master)
    serve(tmp_path, "worker", worker)


@pytest.mark.parametrize(
    ("request_text", "field", "text"),
    [
        (b"hi", b"ok ---------", b"daemon hi"),
        (b"bad", b"err --------", b"daemon bad"),
        (b"alone", b"err --------", b"Error 3023 - This worker is not connected to its master"),
    ],
)
def test_the_first_frame_that_a_program_in_c_gets_is_the_final_answer(
    tmp_path: Path, request_text: bytes, field: bytes, text: bytes
) -> None:
    async def story(stage: Stage) -> None:
        heard = await in_thread(like_c, stage.path, "sendsync", request_text)
        assert (heard.field, heard.payload) == (field, text)
        # It has closed without an answer, and nothing has come of that.
        assert (await in_thread(like_c, stage.path, "sendsync", b"again")).payload == b"daemon again"

    serve(tmp_path, "worker", story)


def test_sendasync_is_acknowledged_and_answered_later(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        assert (await program.ask("sendasync", b"hi")).payload == b"Added request to sendsync requests queue"
        answer = await program.next()
        assert (answer.field, answer.payload) == (b"ok ---------", b"daemon hi")
        program.answer(answer, b"Sendsync response received")
        await program.close()

    serve(tmp_path, "worker", story)


def test_threat_22_a_program_that_leaves_gives_up_what_it_asked(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        await program.ask("dapi", b"wait")
        program.send("sendsync", b"wait")
        await program.ask("echo", b"still here")
        await program.close()
        await until(lambda: stage.routes.cancelled == 2)
        assert len(stage.routes.gone) == 1

    serve(tmp_path, "worker", story)


def test_a_program_that_does_not_take_its_answers_makes_the_node_hold_a_bounded_part_of_them(tmp_path: Path) -> None:
    class Large(Echoes):
        async def _answer(self, text: bytes, request: bytes) -> Answer:
            del text, request
            return Answer(b"x" * 100_000)

    async def story(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        for _ in range(12):
            program.send("dapi", b"large")
        heard = [await program.next() for _ in range(24)]
        sizes = [int(one.payload) for one in heard if one.name == "new_str"]
        assert len(sizes) == 12
        assert sizes.count(100_000) == 5
        assert max(size for size in sizes if size != 100_000) < 1000
        assert stage.server.services.status.snapshot().limits_hit == {"limits.strings_total": 7}
        await program.close()

    limits = {"limits.strings_total": 500_000, "limits.string_bytes": 200_000}
    serve(tmp_path, "worker", story, routes=Large(), limits=limits)


def test_greetings_and_signs_of_life_are_answered(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        heard = await program.ask("echo-c", b"keepalive")
        assert (heard.field, heard.payload) == (b"ok-m  ------", b"keepalive")
        assert (await program.ask("hello", b"me")).payload == b"Client me added"
        assert (await program.ask("echo", b"x")).payload == b"x"
        for foreign in ("new_file", "syn_i_w_m", "nonsense"):
            assert (await program.ask(foreign)).payload == f"unknown command 'b'{foreign}''".encode()
        await program.close()

    serve(tmp_path, "master", story)


def test_who_sends_no_sign_of_life_is_closed_whatever_else_it_sends(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        quiet, lively = await Program.connect(stage.path), await Program.connect(stage.path)
        over = asyncio.create_task(quiet.ended())
        while not over.done():
            await lively.ask("echo-c")
            await asyncio.sleep(0.05)
        assert over.result()
        await lively.ask("echo")
        await lively.close()
        await quiet.close()

    times = {"check_worker_lastkeepalive": 0.1, "max_allowed_time_without_keepalive": 1}
    serve(tmp_path, "worker", story, limits={f"intervals.master.{name}": value for name, value in times.items()})


def test_a_program_in_c_that_waits_for_a_daemon_sends_no_sign_of_life_and_has_its_answer(tmp_path: Path) -> None:
    gate = asyncio.Event()

    class Slow(Echoes):
        async def _answer(self, text: bytes, request: bytes) -> Answer:
            del request
            await gate.wait()
            return Answer(text)

    async def story(stage: Stage) -> None:
        waiting = [await Program.connect(stage.path) for _ in range(2)]
        waiting[0].send("sendsync", b"hi")
        await waiting[1].ask("sendasync", b"hi")
        asking, quiet = await Program.connect(stage.path), await Program.connect(stage.path)
        await asking.ask("dapi", b"hi")
        assert await quiet.ended()
        assert await asking.ended()  # who has no daemon to wait for ought to have said that it lives
        gate.set()
        for program in waiting:
            assert (await program.next()).payload == b"daemon hi"
            assert await program.ended()
        for program in (*waiting, asking, quiet):
            await program.close()

    times = {"check_worker_lastkeepalive": 0.1, "max_allowed_time_without_keepalive": 1}
    limits = {f"intervals.master.{name}": value for name, value in times.items()}
    serve(tmp_path, "worker", story, routes=Slow(), limits=limits)


_ECHO = frame(7, "echo", b"payload")


@pytest.mark.parametrize(
    "parts",
    [
        [bytes([one]) for one in _ECHO],
        [_ECHO[:20], _ECHO[20:]],
        [_ECHO[:11], _ECHO[11:21], _ECHO[21:]],
        [_ECHO[:8] + b"echo X-----\x00" + _ECHO[20:]],
        [_ECHO[:4] + (4).to_bytes(4, "big") + b"echo ------d" + b"payl", frame(7, "echo", b"oad")],
        [frame(6, "ok", b"as a request: dropped"), frame(5, "err", b""), _ECHO],
    ],
    ids=["bytes", "header alone", "cut in the name", "rubbish behind the name", "divided", "answers to nothing"],
)
def test_a_frame_is_read_however_it_is_cut_and_padded(tmp_path: Path, parts: list[bytes]) -> None:
    async def story(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        for part in parts:
            program._writer.write(part)
            await program._writer.drain()
            await asyncio.sleep(0)
        heard = await program.next()
        assert (heard.counter, heard.field, heard.payload) == (7, b"ok ---------", b"payload")
        await program.close()

    serve(tmp_path, "worker", story)


@pytest.mark.parametrize("size", [0, 1, 19, 20, 21])
def test_a_program_that_goes_in_the_middle_of_a_frame_leaves_nothing(tmp_path: Path, size: int) -> None:
    async def story(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        program._writer.write(_ECHO[:size])
        await until(lambda: len(stage.server._clients) == 1)
        await program.close()
        await until(lambda: not stage.server._clients)
        assert (await in_thread(like_c, stage.path, "echo", b"")).field == b"ok ---------"  # no length at all

    serve(tmp_path, "worker", story)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another")
def test_the_socket_belongs_to_whom_the_setting_names(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        found = stage.path.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12, 34, 0o660)

    serve(tmp_path, "worker", story, limits={"local.owner": "12:34"})


def test_more_programs_than_the_limit_are_turned_away_and_counted(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        two = [await Program.connect(stage.path) for _ in range(2)]
        for program in two:
            await program.ask("echo")
        third = await Program.connect(stage.path)
        assert await third.ended()
        assert stage.status.snapshot().limits_hit == {"limits.local_clients": 1}
        await two[0].close()
        await until(lambda: len(stage.routes.gone) == 1)
        fourth = await Program.connect(stage.path)
        assert (await fourth.ask("echo", b"in")).payload == b"in"
        for program in (two[1], third, fourth):
            await program.close()

    serve(tmp_path, "worker", story, limits={"limits.local_clients": 2})


def test_a_frame_over_the_limit_closes_the_connection_and_is_counted(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        program = await Program.connect(stage.path)
        program._writer.write(frame(1, "dapi", b"")[:4] + (2**31).to_bytes(4, "big") + b"dapi -------")
        assert await program.ended()
        await until(lambda: stage.status.snapshot().limits_hit == {"limits.local_frame_bytes": 1})
        await program.close()

    serve(tmp_path, "worker", story)


def test_threat_19_a_request_of_100_mib_is_an_error_to_its_program_and_the_node_goes_on(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        async with AsyncLocalClient(stage.path) as client, AsyncLocalClient(stage.path) as other:
            with pytest.raises(ConnectionLostError, match=r"closed the connection: .*limits\.local_frame_bytes"):
                await client.request(Request(call="x", f_kwargs={"text": "x" * 100 * 1024 * 1024}))
            assert stage.status.snapshot().limits_hit == {"limits.local_frame_bytes": 1}
            with pytest.raises(ConnectionLostError):
                await client.call("x")
            assert await other.config()

    serve(tmp_path, "worker", story)


def test_no_two_programs_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outrider.relay.local._NAMES", 3)

    async def story(stage: Stage) -> None:
        programs = [await Program.connect(stage.path) for _ in range(3)]
        for program in programs:
            await program.ask("echo")
        assert sorted(stage.server._clients) == ["0", "1", "2"]
        for program in programs:
            await program.close()

    serve(tmp_path, "worker", story)


def test_a_socket_that_cannot_be_made_is_no_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = tmp_path / ("long" * 30)

    async def whole() -> None:
        await Stage(home, "worker", routes=None, control=control).server.run()

    asyncio.run(whole())
    assert "107 is the most: set a shorter local.socket" in caplog.text
