"""sendsync through a worker and its master in virtual time: which daemons may be asked, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import MASTER, Cluster, simulate
from tests.support.wazuh_db import Fault, WazuhDbDaemon

from outrider.errors import Refusal
from outrider.master import Master
from outrider.worker import Worker

SOCKETS = {"authd": "auth", "task-manager": "task", "remoted": "remote", "wazuh-db": "wdb"}
ALLOWED = {"sendsync.authd": "auth", "sendsync.wazuh_db": "wdb"}
UNREACHED = "Error 1014 - Error communicating with socket: '{}'"
Story = Callable[[Cluster, Worker, dict[str, WazuhDbDaemon]], Coroutine[Any, Any, None]]


def with_daemons(folder: Path, story: Story, changes: dict[str, Any] | None = None) -> Cluster:
    async def echo(request: bytes) -> Sequence[bytes]:
        await asyncio.sleep(0)
        return [b"ok " + request]

    async def whole(cluster: Cluster) -> None:
        daemons = {name: WazuhDbDaemon(folder / name, echo) for name in SOCKETS}
        for name, socket in SOCKETS.items():
            cluster.fabric.serve_local(MASTER, cluster.home("master") / socket, daemons[name].serving)
        master: Master = await cluster.master(ALLOWED if changes is None else changes)
        worker = cluster.worker()
        await cluster.until(lambda: len(master.roster) == 1)
        await story(cluster, worker, daemons)

    return simulate(folder, whole)


def message(daemon: str, text: Any) -> bytes:
    return json.dumps({"daemon_name": daemon, "message": text}).encode()


async def said(worker: Worker, daemon: str, text: Any = "hi", client: str = "5") -> tuple[bool, str]:
    answer = await worker.routes.sendsync(client, message(daemon, text))
    return answer.ok, answer.body.decode()


def test_a_daemon_answers_a_text_and_an_object(tmp_path: Path) -> None:
    async def story(_: Cluster, worker: Worker, __: dict[str, WazuhDbDaemon]) -> None:
        assert await said(worker, "authd", "hi") == (True, "ok hi")
        asked = {"arguments": {"name": "a", "ip": "any"}, "function": "add"}
        assert await said(worker, "authd", asked) == (True, f"ok {json.dumps(asked)}")

    with_daemons(tmp_path, story)


def test_by_itself_no_daemon_may_be_asked(tmp_path: Path) -> None:
    async def story(_: Cluster, worker: Worker, daemons: dict[str, WazuhDbDaemon]) -> None:
        for name, daemon in daemons.items():
            assert await said(worker, name, "global select-groups") == (False, UNREACHED.format(name))
            assert daemon.requests == []
        assert await said(worker, "nodaemon") == (False, UNREACHED.format("nodaemon"))
        assert await said(worker, "../../etc") == (False, UNREACHED.format("../../etc"))

    with_daemons(tmp_path, story, {})


def test_the_task_manager_and_other_commands_of_wazuh_db_are_asked_where_the_settings_say_so(tmp_path: Path) -> None:
    async def story(_: Cluster, worker: Worker, daemons: dict[str, WazuhDbDaemon]) -> None:
        assert await said(worker, "task-manager") == (True, "ok hi")
        assert await said(worker, "wazuh-db", "global get-all-agents last_id 0") == (
            True,
            "ok global get-all-agents last_id 0",
        )
        ok, told = await said(worker, "wazuh-db", "global select-groups")
        assert not ok
        assert "sendsync.wazuh_db_commands" in told
        assert await said(worker, "authd") == (False, UNREACHED.format("authd"))
        assert [len(daemons[name].requests) for name in SOCKETS] == [0, 1, 0, 1]

    changes = {
        "sendsync.task_manager": "task",
        "sendsync.wazuh_db": "wdb",
        "sendsync.wazuh_db_commands": ["global get-all-agents"],
    }
    with_daemons(tmp_path, story, changes)


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        ("global select-groups", True),
        ("global select-groups {}", True),
        ("global select-groups-all", False),
        ("global sql delete from agent", False),
        ("global select-groups\nglobal sql delete from agent", False),
        (" global select-groups", False),
        ("global select-groups; global sql delete from agent", False),
        ("global  select-groups", False),
        ("global select-groups\tx", False),
        ("global select-groups \0global sql", False),
        ("global select-groups \r", False),
        ("GLOBAL SELECT-GROUPS", False),
        ("global select-group", False),
        ("global select-groups\u00a0x", False),
        ({"global": "select-groups"}, False),
        ("", False),
    ],
)
def test_wazuh_db_takes_only_what_is_listed(tmp_path: Path, command: Any, allowed: bool) -> None:
    async def story(_: Cluster, worker: Worker, daemons: dict[str, WazuhDbDaemon]) -> None:
        ok, text = await said(worker, "wazuh-db", command)
        assert ok is allowed
        assert text.startswith("ok global" if allowed else "Error 4000 - Permission denied")
        assert bool(daemons["wazuh-db"].requests) is allowed

    with_daemons(tmp_path, story)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"\xff", b"[" * 100_000, b'{"daemon_name": "authd"}', b'{"daemon_name": "authd", "message": 1}', b"5"],
)
def test_threat_19_what_is_no_message_is_an_error_to_its_caller(tmp_path: Path, payload: bytes) -> None:
    async def story(_: Cluster, worker: Worker, __: dict[str, WazuhDbDaemon]) -> None:
        answer = await worker.routes.sendsync("5", payload)
        assert not answer.ok
        assert answer.body.startswith(b"Error 1000 - ")
        assert await said(worker, "authd") == (True, "ok hi")

    with_daemons(tmp_path, story)


def test_a_message_or_an_answer_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    async def story(_: Cluster, worker: Worker, daemons: dict[str, WazuhDbDaemon]) -> None:
        ok, text = await said(worker, "authd", "x" * 65_537)
        assert (ok, "65,536" in text) == (False, True)
        assert daemons["authd"].requests == []
        daemons["authd"].faults.append(Fault(say=b"x" * 65_537))
        assert await said(worker, "authd") == (False, UNREACHED.format("authd"))

    with_daemons(tmp_path, story)


def test_threat_23_a_daemon_that_closes_or_hangs_is_an_error_to_who_asks_it_and_holds_up_no_other(
    tmp_path: Path,
) -> None:
    async def story(cluster: Cluster, worker: Worker, daemons: dict[str, WazuhDbDaemon]) -> None:
        daemons["authd"].faults.append(Fault(cut=2))
        assert await said(worker, "authd") == (False, UNREACHED.format("authd"))
        other = cluster.worker("worker2")
        await cluster.until(lambda: other.status.snapshot().link.connected)
        daemons["authd"].faults.append(Fault(times=3, until=asyncio.Event()))
        started = asyncio.get_running_loop().time()
        hanging = [asyncio.ensure_future(said(worker, "authd", f"hang {n}")) for n in range(70)]
        await cluster.until(lambda: len(daemons["authd"].requests) == 4)
        select = "global select-groups"
        assert await said(worker, "wazuh-db", select, client="another") == (True, f"ok {select}")
        assert await said(other, "authd", "me too") == (True, "ok me too")
        assert asyncio.get_running_loop().time() - started < 2
        assert await hanging[0] == (False, UNREACHED.format("authd"))
        assert asyncio.get_running_loop().time() - started > 185
        await asyncio.gather(*hanging)
        await cluster.until(lambda: daemons["authd"].open == 0)

    with_daemons(tmp_path, story)


def test_without_a_master_a_message_is_refused_and_one_under_way_fails(tmp_path: Path) -> None:
    async def story(cluster: Cluster, worker: Worker, daemons: dict[str, WazuhDbDaemon]) -> None:
        daemons["authd"].faults.append(Fault(until=asyncio.Event()))
        waiting = asyncio.ensure_future(said(worker, "authd"))
        await cluster.until(lambda: len(daemons["authd"].requests) == 1)
        cluster.fabric.cut(cluster.address("worker1"))
        ok, text = await waiting
        assert (ok, text.startswith("Error 3023 - ")) == (False, True)
        with pytest.raises(Refusal) as refusal:
            worker.routes.sendsync("5", message("authd", "hi"))
        assert refusal.value.code == 3023
        await cluster.until(lambda: daemons["authd"].open == 0)

    with_daemons(tmp_path, story)
