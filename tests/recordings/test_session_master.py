"""A recorded 4.9.2 worker against our master: the same answers, and the same files in the same containers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tests.recordings.api import meaning, run_daemons
from tests.recordings.nodes import running_master
from tests.recordings.peer import Heard, Peer
from tests.recordings.stores import STORES, heard, kept
from tests.recordings.strings import Strings
from tests.recordings.vectors import (
    CONTAINER_PATH,
    KEY,
    META,
    TASK_ID,
    Exchange,
    container_meaning,
    session,
    unpack_tree,
)
from tests.support.wazuh_db import WazuhDbDaemon

from outrider.master import Master
from outrider.model import AgentInfo, GroupAssignment
from outrider.protocol.agents import decode_agents
from outrider.relay.routes import Answer
from outrider.store.agents import AgentStore, RegisteredAgent
from outrider.store.sqlite import SqliteStore

# What the recorded master asked that is not waited for by itself.
NOT_ASKED = {
    "new_str": "taken as a whole by who takes strings",
    "str_upd": "as new_str",
}
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
# What brings an answer, and what the recorded worker says to it.
ANSWERS = {"dapi_res": b"Response forwarded to worker", "sendsyn_res": b"Response forwarded to worker"}
GROUPS = ("syn_g_m_w", "syn_g_m_w_c")
CHANCE = {"new_str": re.compile(r"\d{1,10}"), "syn_i_w_m": TASK_ID}


class Worker:
    """Walks through the session; ids of the master under test stand in for the recorded ones."""

    def __init__(self, master: Master, peer: Peer, home: Path, agents: AgentStore, informed: list[AgentInfo]) -> None:
        self.master = master
        self.informed = informed
        self.peer = peer
        self.home = home
        self.agents = agents
        self.groups_seen: list[Any] = []
        self.strings = Strings(peer)
        self.recorded: dict[bytes, bytes] = {}
        self.stands_for: dict[bytes, bytes] = {}
        self.containers = 0
        self.forwarded: asyncio.Future[Answer] | None = None
        self.agents_shown: list[tuple[Any, bytes]] = []
        self.download = b""
        self.path = b""
        self.task = b""

    async def walk(self) -> None:
        exchanges = session()
        for at, exchange in enumerate(exchanges):
            if exchange.by_worker:
                if exchange.name == "syn_i_w_m_p" and self.containers == 1 and _brings_files(exchanges[at:]):
                    await self.change_the_tree()
                await self.ask(exchange)
            elif exchange.name in GROUPS:
                await self.groups(exchange.name, json.loads(exchanges[at - 1].payload.split(b" ", 1)[1]))
            elif exchange.name == "str_upd":
                name, text = exchange.payload.split(b" ", 1)
                self.recorded[name] = text
            elif exchange.name == "dapi":
                await self.program(exchange)
            elif exchange.name in ANSWERS:
                await self.answered(exchange)
            elif exchange.name not in NOT_ASKED:
                await self.wait_for(exchange)

    async def change_the_tree(self) -> None:
        """The master's files change; of the two scans that give a turn after that, the second saw them all."""
        unpack_tree("final", self.home)
        run_daemons(self.home)
        await self.turn()
        await self.turn()

    async def groups(self, command: str, recorded: Any) -> None:
        """Take messages until the recorded one comes; ours may come oftener, as its clock runs faster than we walk."""
        if not self.groups_seen:
            await self.agents.register([RegisteredAgent(number, f"agent{number:06}", "any") for number in range(1, 9)])
        elif '"id":1,' in recorded["chunks"][0] and command == "syn_g_m_w":
            changed = [GroupAssignment(number, ("default", "newgroup")) for number in range(1, 5)]
            await self.agents.set_groups(changed, "override", "syncreq")
        for _ in range(20):
            heard, message = await self.message()
            if (heard, message) == (command, recorded):
                self.groups_seen.append(recorded)
                return
            assert heard == "syn_g_m_w"
            assert message in self.groups_seen
        raise AssertionError(f"{recorded} never came")

    async def message(self) -> tuple[str, Any]:
        """The next string, and the command that refers to it."""
        waiting = [asyncio.create_task(self.peer.asked(command)) for command in GROUPS]
        (first,), _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        heard = first.result()
        self.peer.answer(heard, "ok", heard.payload)
        return heard.name, json.loads(self.strings.take(heard.payload))

    async def program(self, exchange: Exchange) -> None:
        """A program beside the master asks the worker what was recorded, under an id of the master's own."""
        name, request = exchange.payload.split(b" ", 1)
        self.forwarded = asyncio.ensure_future(self.master.routes.forward("7", META["worker"], request))
        heard = await self.peer.asked("dapi")
        own, asked = heard.payload.split(b" ", 1)
        assert asked == request
        self.stands_for[name + b" "] = own + b" "
        self.peer.answer(heard, exchange.reply_name, exchange.reply)

    async def answered(self, exchange: Exchange) -> None:
        """An answer to what the recorded worker asked: the same in meaning."""
        asked, string = exchange.payload.split(b" ")
        name, answer = await self.strings.answer(exchange.name, ANSWERS[exchange.name])
        assert name == asked
        recorded = self.recorded[string]
        if exchange.name == "sendsyn_res":
            assert answer == recorded
        elif b"registerIP" in recorded or b"agent000001" in recorded:
            self.agents_shown.append((meaning(recorded), answer))
        else:
            assert meaning(answer) == meaning(recorded)

    async def turn(self) -> Heard:
        """Ask for permission until it is given: it is, once for each scan of the master's files."""
        for _ in range(1000):
            answer = await self.peer.ask("syn_i_w_m_p")
            if answer.payload == b"True":
                return answer
            await asyncio.sleep(0.02)
        raise AssertionError("the master never gave a turn")

    async def ask(self, exchange: Exchange) -> None:
        """Ask what the recorded worker asked, and compare the master's answer with the recorded master's."""
        payload = exchange.payload
        if exchange.name != "file_upd":
            for recorded, ours in self.stands_for.items():
                payload = payload.replace(recorded, ours)
        answer = await (self.turn() if exchange.name == "syn_i_w_m_p" else self.peer.ask(exchange.name, payload))
        if exchange.name == "get_health":
            self.health(json.loads(exchange.reply), json.loads(answer.payload))
        elif exchange.name in CHANCE:
            assert answer.name == "ok"
            assert CHANCE[exchange.name].fullmatch(answer.payload.decode())
            self.stands_for[exchange.reply] = answer.payload
        else:
            # The recording strips the space that 4.9.2 puts inside two of its answers' names.
            odd = {"new_file": "ok ", "echo-c": "ok-m "}.get(exchange.name, exchange.reply_name)
            assert answer.field == (odd + " ").ljust(12, "-").encode()
            # The one answer is the string's id, the other a text without meaning.
            expected = {"syn_a_w_m": payload, "syn_w_g_c": answer.payload}.get(exchange.name, exchange.reply)
            assert answer.payload == expected

    def health(self, recorded: Any, ours: Any) -> None:
        """The same facts and the same form; dates are chance, and ours has one where the recorded master forgot it."""
        counted = isinstance(self.agents, SqliteStore)
        for name, node in recorded["nodes"].items():
            active = sum((agent.connection_status, agent.node_name) == ("active", name) for agent in self.informed)
            node["info"]["n_active_agents"] = active if counted else None
            assert ours["nodes"][name]["info"] == node["info"]
        # Of the periodic messages the recorded master noted nothing but when one was sent.
        for side in (ours, recorded):
            side["nodes"][META["worker"]]["status"]["last_sync_agentgroup"].pop("n_synced_chunks")
        assert _dateless(ours) == _dateless(recorded)

    async def wait_for(self, exchange: Exchange) -> None:
        """Wait for what the recorded master asked, compare, and answer as the recorded worker did."""
        heard = await self.peer.asked(exchange.name)
        self.compare(exchange, heard)
        self.peer.answer(heard, exchange.reply_name, exchange.reply)
        if exchange.name == "syn_m_c":
            self.task = exchange.reply

    def compare(self, exchange: Exchange, heard: Heard) -> None:
        recorded, ours = exchange.payload, heard.payload
        match exchange.name:
            case "new_file":
                assert CONTAINER_PATH.fullmatch(ours.decode().removeprefix("/"))
                self.path = ours
            case "file_upd":
                path, self.download = ours.split(b" ", 1)
                assert path == self.path
                assert container_meaning(self.download) == container_meaning(recorded.split(b" ", 1)[1])
                self.containers += 1
            case "file_end":
                assert ours == self.path + b" " + hashlib.sha256(self.download).digest()
            case "syn_m_c_e":
                assert ours == self.task + b" " + self.path.removeprefix(b"/")
            case "syn_m_a_e":
                assert {**json.loads(ours), "time_spent": 0} == {**json.loads(recorded), "time_spent": 0}
            case _:
                assert ours == recorded


def _dateless(health: Any) -> Any:
    """Health with the word of a date in its place, and without who the nodes are."""
    if isinstance(health, dict):
        return {name: _dateless(value) for name, value in health.items() if name != "info"}
    return "date" if isinstance(health, str) and (health == "n/a" or DATE.fullmatch(health)) else health


def _brings_files(exchanges: list[Exchange]) -> bool:
    """Whether the round that begins here ended with files, in the recording."""
    return next(one.name for one in exchanges if one.name in {"syn_m_c", "syn_m_c_ok"}) == "syn_m_c"


@pytest.mark.parametrize("store", STORES)
def test_our_master_goes_through_the_recorded_session(tmp_path: Path, store: str) -> None:
    recorded = next(one.payload for one in session() if b"sync-agent-info-set" in one.payload)
    informed = [
        one for chunk in json.loads(recorded.split(b" ", 1)[1])["chunks"] for one in decode_agents(chunk.encode())
    ]

    async def select_groups(_: bytes) -> list[bytes]:
        return [b'ok [{"name":"default"},{"name":"newgroup"}]']

    async def play() -> int:
        unpack_tree("initial", tmp_path)
        async with contextlib.AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())  # the path of a socket must be short
            daemon = await stack.enter_async_context(WazuhDbDaemon(Path(folder) / "wdb", select_groups))
            settings, agents = await stack.enter_async_context(kept(store, tmp_path))
            asked = running_master(tmp_path, sendsync__wazuh_db=str(daemon.path), **settings)
            master, port = await stack.enter_async_context(asked)
            peer = await Peer.dial(port, KEY, counter=829_947_933)
            worker = Worker(master, peer, tmp_path, agents, informed)
            try:
                await worker.walk()
            finally:
                await worker.strings.close()
                await peer.close()
            shown = [
                meaning(answer) if store == "sqlite" else recorded
                for recorded, answer in worker.agents_shown
                if store == "sqlite" or b"cannot" in answer or b"keeps no store" in answer
            ]
            assert shown == [recorded for recorded, _ in worker.agents_shown]
            assert len(shown) == 2
            assert worker.forwarded is not None
            forwarded = await worker.forwarded
            assert any(one.payload.endswith(b" " + forwarded.body) for one in session())
            assert [await heard(agents, agent.id) for agent in informed] == informed
        return worker.containers

    assert asyncio.run(play()) == 2
    assert not [*(tmp_path / "queue/cluster").rglob("*.zip")]
