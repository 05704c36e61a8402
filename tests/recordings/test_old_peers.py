"""What no recording shows and an old peer may do all the same, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from pathlib import Path
from random import Random

import pytest
from tests.recordings.nodes import running_master, running_worker
from tests.recordings.peer import Heard, Peer, field_of
from tests.recordings.vectors import KEY, container_meaning, pack

HELLO = b"worker01 wazuh worker 4.9.2"
PATH = b"/queue/cluster/worker01/worker01-1795468882.5-00000000000000000000000000000000.zip"
CANCEL = json.dumps(
    {
        "__wazuh_exception__": {
            "__class__": "WazuhClusterError",
            "__object__": {
                "type": "about:blank",
                "title": "Wazuh Cluster Error",
                "code": 3039,
                "extra_message": None,
                "extra_remediation": None,
                "cmd_error": False,
                "dapi_errors": {},
            },
        }
    }
).encode()


def entry(content: bytes, key: str) -> dict[str, object]:
    digest = hashlib.blake2b(content).hexdigest()
    return {"mod_time": 1_700_000_000.0, "cluster_item_key": key, "merged": False, "hash": digest}


def upload(peer: Peer, task: bytes, container: bytes, part_bytes: int, end: str) -> list[asyncio.Task[Heard]]:
    """A whole upload, ``_e`` included, without waiting for an answer in between."""
    parts = [container[at : at + part_bytes] for at in range(0, len(container), part_bytes)]
    requests = [
        ("new_file", PATH),
        *(("file_upd", PATH + b" " + part) for part in parts),
        ("file_end", PATH + b" " + hashlib.sha256(container).digest()),
        (end, task + b" " + PATH[1:]),
    ]
    return [asyncio.create_task(peer.ask(name, payload)) for name, payload in requests]


async def joined(port: int) -> Peer:
    peer = await Peer.dial(port, KEY)
    assert (await peer.ask("hello", HELLO)).payload == b"Client worker01 added"
    return peer


def test_an_upload_that_waits_for_no_answer_arrives(tmp_path: Path) -> None:
    async def run() -> list[tuple[str, bytes]]:
        async with running_master(tmp_path) as (_, port):
            peer = await joined(port)
            task = (await peer.ask("syn_i_w_m")).payload
            # Old parts of 5 MiB, of which a container is never full: the noise makes it large.
            noise = pack({"etc/noise": Random(1).randbytes(12_000_000)}, {})
            answers = await asyncio.gather(*upload(peer, task, noise, 5_242_880 - len(PATH) - 1, "syn_i_w_m_e"))
            peer.answer(await peer.asked("syn_m_c_ok"), "ok", b"Thanks")
            await peer.close()
            return [(answer.name, answer.payload) for answer in answers]

    assert asyncio.run(run()) == [
        ("ok", b"Ready to receive new file"),
        *[("ok", b"File updated")] * 3,
        ("ok", b"File received correctly"),
        ("ok", b"File correctly received"),
    ]


def test_a_worker_that_cancels_gets_the_end_of_the_file_at_once(tmp_path: Path) -> None:
    content = Random(2).randbytes(40_000_000)
    (tmp_path / "etc/lists").mkdir(parents=True)
    (tmp_path / "etc/lists/large").write_bytes(content)

    async def run() -> tuple[int, bytes, bytes]:
        async with running_master(tmp_path) as (_, port):
            peer = await joined(port)
            task = (await peer.ask("syn_i_w_m")).payload
            await asyncio.gather(*upload(peer, task, pack({}, {}), 1000, "syn_i_w_m_e"))
            peer.answer(await peer.asked("syn_m_c"), "ok", b"task-1")
            new = await peer.asked("new_file")
            peer.answer(new, "ok ", b"Ready to receive new file")
            data = (await next_part(peer)).split(b" ", 1)[1]
            cancelled = await peer.ask("cancel_task", b"task-1 " + CANCEL)
            assert (cancelled.name, cancelled.payload) == ("ok", b"Request received correctly")
            ending = asyncio.create_task(peer.asked("file_end"))
            while not ending.done():
                more = asyncio.create_task(next_part(peer))
                await asyncio.wait([more, ending], return_when=asyncio.FIRST_COMPLETED)
                if more.done():
                    data += more.result().split(b" ", 1)[1]
                else:
                    more.cancel()
            end = ending.result()
            peer.answer(end, "ok", b"File received correctly")
            last = await peer.asked("syn_m_c_e")
            peer.answer(last, "err", b"unknown task")
            assert (await peer.ask("echo", b"still here")).payload == b"still here"
            await peer.close()
            return len(data), hashlib.sha256(data).digest(), end.payload[-32:]

    size, ours, told = asyncio.run(run())
    assert size < len(content) // 2
    assert ours == told


async def next_part(peer: Peer) -> bytes:
    part = await peer.asked("file_upd")
    peer.answer(part, "ok", b"File updated")
    return part.payload


def test_a_master_that_asks_in_the_breath_of_its_ok_is_served(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with running_worker(tmp_path) as peer:
            hello = await peer.asked("hello")
            peer.answer(hello, "ok", b"Client worker01 added")
            answers = [await peer.ask("new_str", b"5"), await peer.ask("syn_m_c_ok")]
            return [answer.name for answer in answers]

    assert asyncio.run(run()) == ["ok", "ok"]


def test_an_answer_with_a_name_of_its_own_is_a_refusal_and_not_the_end(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_worker(tmp_path) as peer:
            peer.answer(await peer.asked("hello"), "ok", b"Client worker01 added")
            asked = await peer.asked("syn_i_w_m_p")
            peer.answer(asked, "strange", b"True")
            # An answer that nobody waits for any more is dropped, not answered.
            for name in ("ok", "err", "ok-m", "ok-c"):
                peer.write(asked.counter, field_of(name), peer.seal(b"late"))
            again = await peer.asked("syn_i_w_m_p")
            peer.answer(again, "ok", b"False")
            assert (await peer.ask("echo", b"x")).payload == b"x"
            assert not [name for name in peer.requests if name in {"ok", "err"}]

    asyncio.run(run())


async def fetched(peer: Peer, held: dict[str, dict[str, object]]) -> bytes:
    """The small container that brings a worker with these files in step."""
    task = (await peer.ask("syn_i_w_m")).payload
    await asyncio.gather(*upload(peer, task, pack({}, held), 1000, "syn_i_w_m_e"))
    peer.answer(await peer.asked("syn_m_c"), "ok", b"task-1")
    peer.answer(await peer.asked("new_file"), "ok ", b"Ready to receive new file")
    container = (await next_part(peer)).split(b" ", 1)[1]
    peer.answer(await peer.asked("file_end"), "ok", b"File received correctly")
    peer.answer(await peer.asked("syn_m_c_e"), "ok", b"File correctly received")
    return container


def test_threat_24_a_worker_with_names_that_no_plan_may_hold_gets_in_step_in_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = ["etc/rules/back\\slash", "etc/rules/caf\udce9", "../outside", "/etc/passwd", "etc/rules/" + "x" * 256]
    own = {name: entry(b"own", "etc/rules/") for name in odd}
    (tmp_path / "etc/rules").mkdir(parents=True)
    (tmp_path / "etc/rules/new").write_bytes(b"new")

    async def run() -> bytes:
        async with running_master(tmp_path) as (_, port):
            peer = await joined(port)
            container = await fetched(peer, own | {"etc/rules/old": entry(b"old", "etc/rules/")})
            for _ in range(2):
                task = (await peer.ask("syn_i_w_m")).payload
                now = pack({}, own | {"etc/rules/new": entry(b"new", "etc/rules/")})
                await asyncio.gather(*upload(peer, task, now, 1000, "syn_i_w_m_e"))
                peer.answer(await peer.asked("syn_m_c_ok"), "ok", b"Thanks")
            await peer.close()
            return container

    with caplog.at_level(logging.WARNING, "outrider"):
        members, plan = container_meaning(asyncio.run(run()))
    assert members == {"etc/rules/new": b"new"}
    assert {group: list(files) for group, files in plan.items()} == {
        "missing": ["etc/rules/new"],
        "shared": [],
        "extra": ["etc/rules/old"],
    }
    told = [record.getMessage() for record in caplog.records if "is left as it is" in record.getMessage()]
    assert len(told) == len(odd)
    assert "the worker's ../outside is left as it is: it holds a . or .. component" in told


def test_files_with_odd_names_travel_both_ways(tmp_path: Path) -> None:
    names = [
        "etc/shared/a b/c d.conf",
        "etc/shared/größe.conf",
        "etc/rules/a|@@b.xml",
        "etc/lists/-x",
        "etc/rules/'\"$",
    ]
    files = {name: name.encode() * 10 for name in names}
    (tmp_path / "master").mkdir()
    (tmp_path / "worker").mkdir()
    for name, data in files.items():
        (tmp_path / "master" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "master" / name).write_bytes(data)

    async def fetch() -> bytes:
        """An empty worker's first container from our master."""
        async with running_master(tmp_path / "master") as (_, port):
            peer = await joined(port)
            container = await fetched(peer, {})
            await peer.close()
            return container

    async def give(container: bytes) -> None:
        """The same container to our worker."""
        async with running_worker(tmp_path / "worker") as peer:
            peer.always["syn_i_w_m_p"] = b"False"
            peer.answer(await peer.asked("hello"), "ok", b"Client worker01 added")
            task = (await peer.ask("syn_m_c")).payload
            answers = await asyncio.gather(*upload(peer, task, container, 1000, "syn_m_c_e"))
            assert {answer.name for answer in answers} == {"ok"}
            for _ in range(1000):
                await asyncio.sleep(0.01)
                if all((tmp_path / "worker" / name).exists() for name in files):
                    return

    container = asyncio.run(fetch())
    members, metadata = container_meaning(container)
    assert members == files
    assert metadata["missing"].keys() == files.keys()
    asyncio.run(give(container))
    assert {name: (tmp_path / "worker" / name).read_bytes() for name in files} == files


def test_a_file_that_did_not_arrive_whole_fails_its_task(tmp_path: Path) -> None:
    async def run() -> tuple[list[int], str]:
        async with running_worker(tmp_path) as peer:
            peer.answer(await peer.asked("hello"), "ok", b"Client worker01 added")
            task = (await peer.ask("syn_m_c")).payload
            await peer.ask("new_file", PATH)
            await peer.ask("file_upd", PATH + b" half")
            codes = [(await peer.ask("syn_m_c_e", task + b" " + PATH[1:])).payload]
            codes += [(await peer.ask("syn_m_c_e", b"nobody " + PATH[1:])).payload]
            told = await peer.asked("syn_i_w_m_r")
            peer.answer(told, "ok", b"Error received")
            found = [json.loads(code)["__wazuh_exception__"]["__object__"]["code"] for code in codes]
            return found, told.payload.decode()

    codes, told = asyncio.run(run())
    assert codes == [3040, 3027]
    assert told.startswith('None {"__wazuh_exception__"')
    assert "did not arrive whole" in told
