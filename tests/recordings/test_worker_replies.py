"""58 requests to a 4.9.2 worker, put to ours: the same answer, or the better one declared here.

The recording shows binary payloads as text, so that containers and sums are made anew: from what
the case's name says.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.recordings.nodes import running_worker
from tests.recordings.peer import Heard, Peer
from tests.recordings.stores import STORES, kept
from tests.recordings.vectors import TASK_ID, VECTORS, pack

RECORDED = json.loads((VECTORS / "worker-replies-1.json").read_text())
CASES: list[dict[str, Any]] = RECORDED["cases"]
UPLOAD = "/queue/cluster/worker01/m-1.zip"

_NOBODY = r'\{"__wazuh_exception__": .*"code": 3032, "extra_message": "123", .*'
# Where our answer differs from the recorded one: the command field, a pattern of the payload, and why.
DIFFERENT = {
    "new_file bad dir": ("err --------", ".*files go to queue/cluster/worker01/.*", "7.3, row 6: one folder, no other"),
    "dapi_res unknown client": ("err --------", _NOBODY, "7.3, row 22: who answers hears that nobody waits"),
    "sendsyn_res unknown client": ("err --------", _NOBODY, "as dapi_res"),
    "sendsyn_err unknown client": ("err --------", _NOBODY, "as dapi_res, and a code that says what it is"),
}
# What our worker asks by itself after a case, where it differs from what was recorded, and why.
_WRITTEN = ("syn_w_g_e", r'\{"updated_chunks":1,"error_messages":\[\],"time_spent":[0-9.e-]+\}', "time and spaces")
_REFUSED = ("syn_i_w_m_r", 'None .*"code": 1000, "extra_message": .*', "the words are ours")
THEN = {
    "syn_g_m_w valid, hash mismatch": _WRITTEN,
    "syn_m_c_r": ("syn_i_w_m_r", 'None .*"code": 1000, "extra_message": ".*Error 3020 - x".*', "the words are ours"),
    "container with one listed file absent: syn_m_c_e": (*_REFUSED[:2], "7.3, row 11: all or nothing"),
    "corrupt container: syn_m_c_e": _REFUSED,
    "container without metadata: syn_m_c_e": _REFUSED,
    "dapi_res unknown client": None,
}
THANKS = {"syn_i_w_m_r": b"Error received", "new_str": b"777"}
CHANCE = {"new_str": r"\d{1,10}", "syn_m_c": TASK_ID.pattern}
CONTENT = b"<agent_config/>\n"


def entry(content: bytes, key: str = "etc/shared/") -> dict[str, Any]:
    digest = hashlib.blake2b(content).hexdigest()
    return {"mod_time": 1_700_000_000.0, "cluster_item_key": key, "merged": False, "hash": digest}


def groups(**given: Any) -> dict[str, Any]:
    return {"missing": {}, "extra": {}, "shared": {}} | given


LISTED = {"etc/shared/g/a.conf": entry(CONTENT)}
CONTAINERS = {
    "container with one listed file absent": pack(
        {"etc/shared/g/a.conf": CONTENT}, groups(missing=LISTED | {"etc/shared/g/b.conf": entry(b"absent")})
    ),
    "corrupt container": pack({"etc/shared/g/a.conf": CONTENT}, groups(missing=LISTED)).replace(b"x\x01", b"no", 1),
    "container without metadata": pack({"etc/shared/g/a.conf": CONTENT}, None),
    "metadata only, remove g/a.conf": pack({}, groups(extra=LISTED)),
}


def test_what_is_declared_was_recorded() -> None:
    assert len(CASES) == 58
    names = {case["case"] for case in CASES}
    assert {*DIFFERENT, *THEN} <= names
    assert {name.split(":")[0] for name in names if ":" in name} == CONTAINERS.keys()


class Master:
    """Asks one case after another; ids of the worker under test stand in for the recorded ones."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.stands_for: dict[str, str] = {}
        self.wrong: list[str] = []
        self.sent = b""

    def payload(self, case: dict[str, Any]) -> bytes:
        group, _, step = case["case"].partition(": ")
        match step or group:
            case "echo 6 MB divided":
                return Random(6).randbytes(case["send_len"])
            case "file_upd" if step:
                self.sent = CONTAINERS[group]
                return UPLOAD.encode() + b" " + self.sent
            case "file_end":
                return UPLOAD.encode() + b" " + hashlib.sha256(self.sent).digest()
            case "file_end bad sum":
                return UPLOAD.encode() + b" " + bytes(32)
        text = str(case["send_payload"])
        for recorded, ours in self.stands_for.items():
            text = text.replace(recorded, ours)
        return text.encode()

    async def run(self, case: dict[str, Any]) -> None:
        payload = self.payload(case)
        answer = await self.peer.ask(case["send_command"], payload)
        self.judge(case, payload, answer)
        if case["send_command"] in CHANCE and answer.name == "ok":
            self.stands_for[case["reply_payload"]] = answer.payload.decode()
        await self.then(case)

    def judge(self, case: dict[str, Any], payload: bytes, answer: Heard) -> None:
        field, pattern = case["reply_command"], re.escape(case["reply_payload"])
        if case["case"] in DIFFERENT:
            field, pattern, _ = DIFFERENT[case["case"]]
        elif case["send_command"] in CHANCE and answer.name == "ok":
            pattern = CHANCE[case["send_command"]]
        elif case["send_command"].startswith("syn_g_m_w") or case["case"] == "echo 6 MB divided":
            pattern = None
        same = (
            answer.payload == payload if pattern is None else re.fullmatch(pattern, answer.payload.decode(), re.DOTALL)
        )
        if answer.field.decode() != field or not same:
            self.wrong.append(f"{case['case']}: {answer.field!r} {answer.payload[:300]!r}, not {field!r} {pattern!r}")
        if case["reply_frames"]:
            frames = [[length, field.decode()] for length, field in answer.frames]
            assert frames == case["reply_frames"]

    async def then(self, case: dict[str, Any]) -> None:
        """What the worker asks by itself after the case."""
        expected = [(row["command"].split(" ")[0], re.escape(row["payload"])) for row in case["then_sent_by_worker"]]
        if case["case"] in THEN:
            declared = THEN[case["case"]]
            expected = [] if declared is None else [declared[:2]]
        for name, pattern in expected:
            heard = await self.peer.asked(name)
            self.peer.answer(heard, "ok", THANKS.get(name, b"Thanks"))
            if not re.fullmatch(pattern, heard.payload.decode(), re.DOTALL):
                self.wrong.append(f"after {case['case']}: {name} {heard.payload!r}, not {pattern!r}")


async def greet(peer: Peer) -> None:
    hello = await peer.asked("hello")
    first = RECORDED["hello_and_first"][0]
    assert (hello.field.decode(), hello.payload.decode()) == (first["command"], first["payload"])
    peer.answer(hello, "ok", b"Client worker01 added")


async def all_cases(home: Path, store: str) -> tuple[list[str], dict[str, int]]:
    async with kept(store, home) as (given, _), running_worker(home, **given) as peer:
        peer.always = {"syn_i_w_m_p": b"False", "syn_a_w_m_p": b"False", "echo-c": b"keepalive"}
        await greet(peer)
        master = Master(peer)
        for case in CASES:
            if "silence" not in case["case"]:
                await master.run(case)
                if case["case"].endswith("listed file absent: syn_m_c_e"):
                    # The recorded worker wrote the file that had come; so that it can be removed later, put it there.
                    (home / "etc/shared/g").mkdir(parents=True)
                    (home / "etc/shared/g/a.conf").write_bytes(CONTENT)
                elif case["case"] == "metadata only, remove g/a.conf: syn_m_c_e":
                    for _ in range(1000):
                        await asyncio.sleep(0.01)
                        if not (home / "etc/shared/g").exists():
                            break
        await peer.ask("echo", b"everything before this has been served")
        unasked = {name: queue.qsize() for name, queue in peer.requests.items() if queue.qsize()}
        assert not (home / "etc/shared/g").exists()
        return master.wrong, unasked


@pytest.mark.parametrize("store", STORES)
def test_every_recorded_request_gets_its_answer(tmp_path: Path, store: str) -> None:
    wrong, unasked = asyncio.run(all_cases(tmp_path, store))
    assert wrong == []
    assert unasked == {}


def test_an_announced_file_that_does_not_come_is_cancelled(tmp_path: Path) -> None:
    async def run() -> bytes:
        async with running_worker(tmp_path, intervals__communication__timeout_receiving_file=0.3) as peer:
            await greet(peer)
            task = (await peer.ask("syn_m_c")).payload
            cancelled = await peer.asked("cancel_task")
            peer.answer(cancelled, "ok", b"Request received correctly")
            late = await peer.ask("syn_m_c_e", task + b" queue/cluster/worker01/none.zip")
            assert late.name == "err"
            assert json.loads(late.payload)["__wazuh_exception__"]["__object__"]["code"] == 3027
            return cancelled.payload.replace(task, b"TASK")

    (recorded,) = (case for case in CASES if "silence" in case["case"])
    _, text = recorded["later"][0]["payload"].split(" ", 1)
    assert asyncio.run(run()) == f"TASK {text}".encode()


@pytest.mark.parametrize("after", [b"\xffno token", b""])
def test_what_does_not_open_closes_the_connection(tmp_path: Path, after: bytes) -> None:
    async def run() -> None:
        async with running_worker(tmp_path) as peer:
            await greet(peer)
            peer.write(1, b"echo -------", after)
            await asyncio.wait_for(peer.closed.wait(), 10)

    asyncio.run(run())
