"""Somebody holds a worker's credentials: its key, its name, its certificate. What that is worth at the master."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import TREE, Cluster, simulate
from tests.support.peers import played_worker
from tests.support.requests import ask

from outrider._native import diff
from outrider.errors import OutriderError
from outrider.master import Master
from outrider.protocol import commands as c
from outrider.protocol.commands import TABLE, Command
from outrider.settings import Live
from outrider.store.tree import FileTree

SECRET = b"what no worker may read"
HOLDS = {"outside/secret": SECRET, "etc/passwords": SECRET, "queue/cluster/worker2/secret.zip": SECRET}
"""What lies in the master's home and in no folder of its files table."""
PATHS = (
    b"tree/a.conf",
    b"/tree/a.conf",
    b"tree/evil",
    b"../evil",
    b"queue/cluster/stolen/../../../tree/a.conf",
    b"queue/cluster/worker2/secret.zip",
    b"queue/cluster/worker2/evil",
    b"queue/cluster/../../outside/secret",
    b"outside/secret",
    b"etc/passwords",
    b"/etc/passwd",
    b"queue/cluster/stolen/a\0b",
    b".outrider/peers.json",
    b".outrider/identity/node.pem",
)
REST = (
    b"",
    b"\xff" * 64,
    b"{}",
    b"[" * 2000,
    b'{"missing": {}, "shared": {}, "extra": {"tree/a.conf": {}}, "extra_valid": {"tree/evil": {}}}',
    b"0 0 0 0",
    b"x" * 100_000,
    b"1" * 30,
)
ONLY_LOCAL: dict[str, dict[str, Any]] = {
    "outrider.generations_rollback": {"number": 1},
    "outrider.approve": {},
    "outrider.send_groups": {},
    "outrider.key_rotate": {"anyway": True},
    "outrider.key_abort": {},
    "outrider.key_status": {},
}

Say = Callable[[Command, bytes], Awaitable[bytes]]


def home_of(cluster: Cluster) -> dict[str, tuple[int, str]]:
    """Every file of the master's home but what a node keeps for itself: its mode and its hash."""
    home = cluster.home("master")
    files = (path for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    kept = {str(path.relative_to(home)): path for path in files}
    return {
        name: (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
        for name, path in sorted(kept.items())
        if not name.startswith(".outrider/") and not name.startswith("queue/cluster/stolen/")
    }


async def said(say: Say, command: Command, payload: bytes) -> bytes:
    """What the master answers, be it a refusal."""
    try:
        return await say(command, payload)
    except OutriderError as error:
        return str(error).encode()


async def stolen(cluster: Cluster, link: str) -> tuple[Say, Callable[[], bool]]:
    """A connection with valid credentials, and whether it still stands: an old worker's, or one inside TLS."""
    if link == "base":
        side = await played_worker(cluster, "stolen")
        return lambda command, payload: side.channel.request(command, payload, 20), lambda: side.channel.is_open
    worker = cluster.worker("stolen")
    await cluster.until(lambda: worker._handler is not None and worker._handler.session.extended is not None)
    handler = worker._handler
    assert handler is not None
    return handler.session.request, lambda: handler.session.channel.is_open


async def container_of(cluster: Cluster, master: Master) -> bytes:
    """All that a master would send to make another tree: it changes one file, adds one, and deletes one."""
    cluster.write("source", {"tree/a.conf": b"evil\n", "tree/evil": b"evil\n"})
    source = FileTree(Live(cluster.settings("source")), master._ports.threads)
    target = FileTree(Live(cluster.settings("master")), master._ports.threads)
    found, wanted = (await target.scan()).manifest, (await source.scan()).manifest
    packer = await source.pack(diff(wanted, found, source.table), 1 << 30)
    return b"".join(iter(lambda: packer.read(1 << 20), b""))


async def transfers(say: Say, container: bytes) -> list[bytes]:
    """A whole file under every path, then named as what each announcement waits for."""
    answers = []
    for path in (*PATHS, b"queue/cluster/stolen/stolen-1700000000.5-" + b"0" * 32 + b".zip"):
        answers.append(await said(say, c.NEW_FILE, path))
        answers.append(await said(say, c.FILE_UPD, path + b" " + container))
        answers.append(await said(say, c.FILE_END, path + b" " + hashlib.sha256(container).digest()))
        for begin, end in ((c.INTEGRITY_CHECK, c.INTEGRITY_CHECK_END), (c.EXTRA_VALID, c.EXTRA_VALID_END)):
            task = await said(say, begin, b"")
            answers.append(await said(say, end, task + b" " + path))
    return answers


def calls() -> Iterator[bytes]:
    """Requests that would change something, or that name what is no call."""
    for name, arguments in ONLY_LOCAL.items():
        yield ask(name, arguments, request_type="local_master")
    for name in ("os:system", "builtins:eval", "wazuh.core.cluster:local_client.LocalClient", "__class__"):
        yield ask(name, {"command": "id"})


@pytest.mark.parametrize("link", ["base", "any"])
def test_threat_14_no_command_of_the_table_writes_in_the_master_s_home_or_reads_beside_its_files(
    tmp_path: Path, link: str
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", {**TREE, **HOLDS})
        master = await cluster.master({"link.require": "any"})
        cluster.write("master", HOLDS)  # a start empties the transfers
        before = home_of(cluster)
        answers: list[bytes] = []
        sent: set[str] = set()
        for command in sorted(TABLE.values(), key=str):
            say, stands = await stolen(cluster, link)
            for payload in (*PATHS, *REST, *(b"7 " + request for request in calls())):
                answers.append(await said(say, command, payload))
                sent.add(str(command))
                if not stands():
                    await _gone(cluster, master)
                    say, stands = await stolen(cluster, link)
            await _gone(cluster, master)
        say, _ = await stolen(cluster, link)
        container = await container_of(cluster, master)
        answers += await transfers(say, container)
        await asyncio.sleep(30)
        assert sent == {str(command) for command in TABLE.values()}
        assert home_of(cluster) == before
        assert all(SECRET not in answer for answer in answers)
        assert not (tmp_path / "evil").exists()
        (tmp_path / "container").write_bytes(container)
        await FileTree(Live(master.settings), master._ports.threads).apply(tmp_path / "container")
        assert home_of(cluster) != before, "a tree that takes the container is changed by it"

    simulate(tmp_path, story)


async def _gone(cluster: Cluster, master: Master) -> None:
    """The connection is over, so that the next has the name."""
    for member in master.roster.members():
        member.session.channel.close("the next command")
    for node in [node for node in cluster._running if node is not master]:
        await cluster.stop(node)
    await cluster.until(lambda: len(master.roster) == 0)


@pytest.mark.parametrize("call", ONLY_LOCAL)
def test_threat_14_what_changes_a_master_is_for_programs_of_its_machine(tmp_path: Path, call: str) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        worker = cluster.worker()
        await cluster.until(lambda: worker.status.snapshot().link.connected)
        answer = await worker.routes.ask("a program", ask(call, ONLY_LOCAL[call], request_type="local_master"))
        assert b"only programs on the machine of this node may ask for this" in answer.body

    simulate(tmp_path, story)


GRANTS = [
    ("master", {"grants.workers_at_master": ["wazuh.*"]}, "local_master", "grants.workers_at_master of this master"),
    ("master", {"grants.workers_at_workers": []}, "distributed_master", "grants.workers_at_workers of this master"),
    ("worker1", {"grants.programs": ["outrider.n*"]}, "local_master", "grants.programs of this worker"),
]


@pytest.mark.parametrize(("at", "grants", "request_type", "told"), GRANTS)
def test_threat_14_a_call_that_is_not_granted_is_refused_counted_and_the_setting_named(
    tmp_path: Path, at: str, grants: dict[str, Any], request_type: str, told: str
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master(grants if at == "master" else None)
        worker = cluster.worker("worker1", grants if at == "worker1" else None)
        refusing = master if at == "master" else worker
        await cluster.until(lambda: worker.status.snapshot().link.connected)
        answer = await worker.routes.ask("a program", ask("outrider.ping", {}, request_type=request_type))
        assert not answer.ok
        assert told in answer.body.decode()
        assert refusing.status.snapshot().counters[f"not_granted.{told.partition(' ')[0]}"] == 1
        granted = await worker.routes.ask("a program", ask("outrider.nodes", {}, request_type="local_any"))
        assert granted.ok

    simulate(tmp_path, story)


def test_threat_14_a_worker_s_grants_hold_for_its_master_and_a_part_that_is_refused_fails_alone(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master({"grants.workers_at_master": []})
        cluster.worker("worker1", {"grants.master": ["outrider.node"]})
        worker = cluster.worker("worker2")
        await cluster.until(lambda: len(master.roster) == 2)
        await cluster.until(lambda: worker.status.snapshot().link.connected)
        answer = await worker.routes.ask("a program", ask("outrider.ping"))
        told = answer.body.decode()
        assert "grants.master of this worker" in told
        assert "grants.workers_at_master of this master" in told
        alone = json.loads((await worker.routes.ask("a program", ask("outrider.ping", nodes=("worker2",)))).body)
        assert "exception" not in str(alone)

    simulate(tmp_path, story)
