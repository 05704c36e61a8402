"""43 odd or hostile requests to a 4.9.2 master, put to ours: the same answer, or the better one declared here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.recordings.nodes import running_master
from tests.recordings.peer import Heard, Peer
from tests.recordings.stores import STORES, kept
from tests.recordings.vectors import KEY, TASK_ID, VECTORS

CASES = json.loads((VECTORS / "master-replies-1.json").read_text())
LATER = "unknown command 'b'{}''"

# Where our answer differs from the recorded one: the command field, a pattern of the payload, and why.
DIFFERENT = {
    "new_file bad dir": ("err --------", ".*files go to queue/cluster/probeA/.*", "7.3, row 6: one folder, no other"),
    "get_nodes": (
        "ok ---------",
        r'\{"items": \[\{"name": "master01".*?\}, \{"name": "[^"]*", "type": "worker".*?\}\], "totalItems": 2\}',
        "7.3, row 21: whom the master refused is no node",
    ),
}
# What is chance: its form is compared.
CHANCE = {"new_str": r"\d{1,10}", "syn_i_w_m": TASK_ID.pattern}
# Who asks: a peer of its own for each, where the recording had one; the rest is asked by the good one.
PEERS = {
    "hello duplicate name": "second",
    "echo after refused hello": "second",
    "hello wrong version": "version",
    "hello wrong cluster name": "cluster",
    "hello master name": "master",
    "hello malformed": "malformed",
}


def test_what_is_declared_was_recorded() -> None:
    assert len(CASES) == 43
    assert {*DIFFERENT, *CHANCE, *PEERS} <= {case["case"] for case in CASES}


class Company:
    """Peers by name, dialled when first asked for; ids of ours stand in for the recorded ones."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.peers: dict[str, Peer] = {}
        self.stands_for: dict[bytes, bytes] = {}

    async def ask(self, peer: str, case: dict[str, str]) -> Heard:
        if peer not in self.peers:
            self.peers[peer] = await Peer.dial(self.port, KEY)
        payload = bytes.fromhex(case["send_payload_hex"])
        for recorded, ours in self.stands_for.items():
            payload = payload.replace(recorded, ours)
        answer = await self.peers[peer].ask(case["send_command"], payload)
        if case["case"] in CHANCE:
            self.stands_for[case["reply_payload"].encode()] = answer.payload
        return answer


@contextlib.asynccontextmanager
async def company(home: Path, store: str) -> AsyncIterator[Company]:
    async with kept(store, home) as (given, _), running_master(home, **given) as (_, port):
        them = Company(port)
        try:
            yield them
        finally:
            for peer in them.peers.values():
                await peer.close()


def expected(case: dict[str, str]) -> tuple[str, str]:
    name = case["case"]
    if name in DIFFERENT:
        return DIFFERENT[name][:2]
    if name in CHANCE:
        return case["reply_command"], CHANCE[name]
    return case["reply_command"], re.escape(case["reply_payload"])


async def all_cases(home: Path, store: str) -> list[str]:
    wrong = []
    async with company(home, store) as them:
        for case in CASES:
            if case["reply_command"] == "CONNECTION CLOSED":
                continue
            answer = await them.ask(PEERS.get(case["case"], "good"), case)
            field, pattern = expected(case)
            if answer.field.decode() != field or not re.fullmatch(pattern, answer.payload.decode()):
                wrong.append(f"{case['case']}: {answer.field!r} {answer.payload!r}, not {field!r} {pattern!r}")
    return wrong


@pytest.mark.parametrize("store", STORES)
def test_every_recorded_request_gets_its_answer(tmp_path: Path, store: str) -> None:
    assert asyncio.run(all_cases(tmp_path, store)) == []


@pytest.mark.parametrize("case", [case for case in CASES if case["reply_command"] == "CONNECTION CLOSED"])
def test_what_does_not_open_closes_the_connection(case: dict[str, str], tmp_path: Path) -> None:
    async def run() -> None:
        async with running_master(tmp_path) as (_, port):
            peer = await Peer.dial(port, "w" * 32 if case["case"] == "wrong key" else KEY)
            if case["case"] == "wrong key":
                with pytest.raises(asyncio.CancelledError):
                    await peer.ask("hello", bytes.fromhex(case["send_payload_hex"]))
            else:
                peer.write(1, b"hello ------", b"\xffno token\x00")
            await asyncio.wait_for(peer.closed.wait(), 10)
            await peer.close()

    asyncio.run(run())


def test_threat_20_before_hello_everything_but_echo_and_hello_is_refused(tmp_path: Path) -> None:
    async def run() -> dict[str, tuple[str, str]]:
        answers = {}
        async with company(tmp_path, "sqlite") as them:
            for case in CASES:
                if case["send_command"] != "hello" and case["reply_command"] != "CONNECTION CLOSED":
                    answer = await them.ask("nobody", case)
                    answers[case["send_command"]] = answer.name, answer.payload.decode()
        return answers

    answers = asyncio.run(run())
    assert answers.pop("echo") == ("ok", "")
    unserved = {name for name, (_, text) in answers.items() if text == LATER.format(name)}
    assert unserved == {"foo"}
    for name in answers.keys() - unserved:
        kind, text = answers[name]
        assert kind == "err"
        fault = json.loads(text)["__wazuh_exception__"]["__object__"]
        assert (fault["code"], fault["extra_message"]) == (1000, f"{name} comes before hello: say hello first")
