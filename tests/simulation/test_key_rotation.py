"""The cluster key is rotated while a cluster works: nobody fails, nobody who was away is lost without a word."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import KEY, TREE, Cluster, simulate
from tests.support.peers import played_worker

from outrider.errors import RefusedByPeer
from outrider.master import Master
from outrider.protocol import commands as c
from outrider.protocol.api import Request
from outrider.protocol.rotation import Standing, encode
from outrider.settings.key import ClusterKey, key_id
from outrider.settings.key_file import read_key_file
from outrider.store.rotation import Gone, Phase, Rotation, read_rotation, write_rotation
from outrider.worker import Worker

WINDOW_S = 120.0
OLD, NEW = ClusterKey(KEY), ClusterKey("n3w_" * 8)
OLD_ID, NEW_ID = key_id(OLD), key_id(NEW)


def with_file(cluster: Cluster, name: str, *keys: ClusterKey) -> dict[str, Any]:
    """Settings of a node whose keys, the old one unless others are named, lie in a file of its own."""
    file = cluster.folder / f"{name}.key"
    if keys or not file.exists():
        file.write_bytes(b"".join(bytes(key) + b"\n" for key in keys or (OLD,)))
        file.chmod(0o600)
    return {"link.key": None, "link.key_file": str(file)}


def keys_of(cluster: Cluster, name: str) -> list[ClusterKey]:
    """What the file of a node holds."""
    return read_key_file(cluster.folder / f"{name}.key")


async def ask(node: Master | Worker, call: str, **arguments: Any) -> dict[str, Any]:
    """Ask a node as a program of its machine does."""
    request = Request(call=call, f_kwargs=arguments, request_type="local_any")
    answer = await node.routes.ask("a program", request.encode())
    assert answer.ok, answer.body
    read: dict[str, Any] = json.loads(answer.body)
    return read


async def rotate(master: Master, **arguments: Any) -> dict[str, Any]:
    return await ask(master, "outrider.key_rotate", **{"window_s": WINDOW_S, **arguments})


def phase(cluster: Cluster) -> str:
    rotation = read_rotation(cluster.home("master"))
    return rotation.phase if rotation is not None else ""


def extended(*workers: Worker) -> bool:
    handlers = [worker._handler for worker in workers]
    return all(handler is not None and handler.session.extended is not None for handler in handlers)


def failed(node: Master | Worker) -> dict[str, int]:
    return {kind: rounds.failed for kind, rounds in node.status.snapshot().kinds.items() if rounds.failed}


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: a disk that makes 100 trees durable takes minutes."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def test_threat_13_under_load_with_100_workers_and_one_offline_no_sync_fails(
    memory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"worker{number}" for number in range(100)]

    async def change_files(cluster: Cluster) -> None:
        for number in range(10_000):
            cluster.write("master", {"tree/a.conf": b"%d\n" % number * (1 + number % 7)})
            await asyncio.sleep(20)

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master(with_file(cluster, "master"))
        away = cluster.worker("away", with_file(cluster, "away"))
        workers = [cluster.worker(name, with_file(cluster, name)) for name in names]
        await cluster.until(lambda: extended(*workers, away) and cluster.in_step(*names))
        await cluster.stop(away)
        load = asyncio.create_task(change_files(cluster))
        await rotate(master)
        await cluster.until(lambda: phase(cluster) == "window")
        (new, old) = keys_of(cluster, "master")
        assert old == OLD
        await cluster.until(lambda: all(keys_of(cluster, name) == [new, OLD] for name in names), within_s=5)
        await cluster.until(lambda: phase(cluster) == "done", within_s=WINDOW_S + 120)
        load.cancel()
        assert all(keys_of(cluster, name) == [new] for name in ("master", *names))
        assert failed(master) == {}
        assert all(failed(worker) == {} for worker in workers)
        assert all(worker.status.snapshot().link.reconnects == 0 for worker in workers)
        await cluster.until(lambda: cluster.in_step(*names))
        with caplog.at_level(logging.WARNING, "outrider"):
            cluster.worker("away", with_file(cluster, "away"))
            await asyncio.sleep(60)
            assert "away" not in [member.info.name for member in master.roster.members()]
            assert master.status.snapshot().limits_hit["link.key_window"] > 1
            (cluster.folder / "away.key").write_bytes((cluster.folder / "master.key").read_bytes())
            await cluster.until(lambda: cluster.in_step("away"), within_s=60)

    simulate(memory, story)
    told = [record.getMessage() for record in caplog.records]
    assert len([line for line in told if "rotated out on 20" in line and "give it this master's key file" in line]) == 1
    assert any("If it was rotated while this node was away" in line for line in told)
    everything = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert all(bytes(key).decode() not in everything for key in read_key_file(memory / "master.key"))


def test_a_worker_that_is_back_within_the_window_learns_the_key_then(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master(with_file(cluster, "master"))
        await rotate(master)
        await cluster.until(lambda: phase(cluster) == "window")
        back = cluster.worker("worker1", with_file(cluster, "worker1"))
        await cluster.until(lambda: keys_of(cluster, "worker1") == keys_of(cluster, "master"), within_s=10)
        await cluster.stop(back)
        await cluster.until(lambda: phase(cluster) == "done", within_s=WINDOW_S + 120)
        cluster.worker("worker1", with_file(cluster, "worker1"))  # it still has both, the new one first
        await cluster.until(lambda: keys_of(cluster, "worker1") == keys_of(cluster, "master"), within_s=60)
        assert len(keys_of(cluster, "worker1")) == 1

    simulate(tmp_path, story)


def test_a_worker_that_heard_of_the_key_alone_tries_it_when_the_old_one_is_refused(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        gone = Gone(id=OLD_ID, signs=bytes(OLD)[:16].hex(), since=0)
        (cluster.home("master") / ".outrider").mkdir(parents=True)
        done = Rotation(phase="done", new=NEW_ID, old=(OLD_ID,), began=0, window_s=0, gone=(gone,))
        write_rotation(cluster.home("master"), done)
        await cluster.master(with_file(cluster, "master", NEW))
        cluster.worker("worker1", with_file(cluster, "worker1", OLD, NEW))
        await cluster.until(lambda: keys_of(cluster, "worker1") == [NEW], within_s=60)

    simulate(tmp_path, story)


STANDS = ([OLD], [OLD, NEW], [NEW, OLD], [NEW])
RINGS: tuple[tuple[Phase, list[ClusterKey]], ...] = (
    ("adding", [OLD, NEW]),
    ("sealing", [OLD, NEW]),
    ("sealing", [NEW, OLD]),
    ("window", [NEW, OLD]),
    ("dropping", [NEW, OLD]),
    ("dropping", [NEW]),
    ("done", [NEW]),
)
"""What a crash can leave at a master: a phase is on disk before the ring that it wants is."""


@pytest.mark.parametrize("stood", STANDS)
@pytest.mark.parametrize(("before", "ring"), RINGS)
def test_threat_13_whatever_a_crash_left_at_either_node_the_rotation_ends(
    tmp_path: Path, before: Phase, ring: list[ClusterKey], stood: list[ClusterKey]
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        (cluster.home("master") / ".outrider").mkdir(parents=True)
        rotation = Rotation(phase=before, new=NEW_ID, old=(OLD_ID,), began=0, window_s=30, until=1_700_000_030)
        write_rotation(cluster.home("master"), rotation)
        master = await cluster.master(with_file(cluster, "master", *ring))
        worker = cluster.worker("worker1", with_file(cluster, "worker1", *stood))
        if stood == [OLD] and before in ("dropping", "done"):  # the way back is a person's
            await cluster.until(lambda: phase(cluster) == "done")
            assert len(master.roster) == 0
        else:
            await cluster.until(lambda: phase(cluster) == "done" and keys_of(cluster, "worker1") == [NEW])
            await cluster.until(lambda: cluster.in_step("worker1"))
            assert worker.status.snapshot().link.connected
        assert keys_of(cluster, "master") == [NEW]

    simulate(tmp_path, story)


def test_a_rotation_whose_key_a_person_takes_out_of_the_file_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master(with_file(cluster, "master"))
        worker = cluster.worker("worker1", with_file(cluster, "worker1"))
        await cluster.until(lambda: extended(worker))
        await rotate(master)
        await cluster.until(lambda: phase(cluster) == "window")
        (new,) = set(keys_of(cluster, "master")) - {OLD}
        with_file(cluster, "master", OLD)
        assert await master._keys.read_again()  # as at a reload
        await cluster.until(lambda: "key" not in master.status.snapshot().notes)
        assert (await ask(master, "outrider.key_status"))["phase"] == ""
        assert new not in keys_of(cluster, "master")
        await cluster.until(lambda: cluster.in_step("worker1"))
        await rotate(master)
        await cluster.until(lambda: phase(cluster) == "window")
        assert not [one for one in caplog.records if one.exc_info]

    with caplog.at_level(logging.INFO):
        simulate(tmp_path, story)


def test_an_old_worker_holds_a_rotation_up_until_a_person_says_so_and_works_through_the_window(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master(with_file(cluster, "master"))
        old = cluster.worker("old", {"link.require": "base", "intervals.worker.sync_integrity": 10})
        ours = cluster.worker("ours", with_file(cluster, "ours"))
        await cluster.until(lambda: extended(ours) and cluster.in_step("old", "ours"))
        status = await rotate(master)
        assert {one["name"]: one["state"] for one in status["workers"]}["old"] == "cannot"
        await asyncio.sleep(100)
        assert phase(cluster) == "adding"
        assert "cannot learn it: old" in master.status.snapshot().notes["key"]
        await rotate(master, anyway=True)
        await cluster.until(lambda: phase(cluster) == "window", within_s=10)
        cluster.write("master", {"tree/a.conf": b"in the window\n"})
        await cluster.until(lambda: cluster.in_step("old", "ours"))
        assert old.status.snapshot().link.reconnects == 0
        await cluster.until(lambda: phase(cluster) == "done", within_s=WINDOW_S + 120)
        await cluster.until(lambda: not old.status.snapshot().link.connected, within_s=120)
        assert ours.status.snapshot().link.reconnects == 0

    simulate(tmp_path, story)


def test_a_worker_whose_key_is_in_its_settings_says_why_it_cannot_learn_another(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master(with_file(cluster, "master"))
        worker = cluster.worker("worker1")
        await cluster.until(lambda: extended(worker))
        await rotate(master)
        await asyncio.sleep(5)
        (one,) = (await ask(master, "outrider.key_status"))["workers"]
        assert (one["state"], "link.key_file" in one["why"]) == ("cannot", True)
        assert "link.key_file" in (await ask(worker, "outrider.key_status"))["cannot"]

    simulate(tmp_path, story)


def test_a_worker_that_cannot_write_its_file_says_so_once_and_follows_as_soon_as_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master(with_file(cluster, "master"))
        elsewhere = cluster.folder / "elsewhere"
        elsewhere.mkdir()
        file = elsewhere / "worker1.key"
        file.write_bytes(bytes(OLD))
        file.chmod(0o600)
        worker = cluster.worker("worker1", {"link.key": None, "link.key_file": str(file)})
        await cluster.until(lambda: extended(worker))
        elsewhere.rename(cluster.folder / "away")
        await rotate(master)
        await asyncio.sleep(5)
        (one,) = (await ask(master, "outrider.key_status"))["workers"]
        assert (one["state"], "cannot write the key file" in one["why"]) == ("cannot", True)
        assert phase(cluster) == "adding"
        await asyncio.sleep(1800)
        shown = worker.status.snapshot().retries["Key file"]
        assert (shown.nature, str(file) in shown.awaits) == ("temporary", True)
        assert len([one for one in caplog.records if "Key file failed" in one.getMessage()]) <= 5
        (cluster.folder / "away").rename(elsewhere)
        await cluster.until(lambda: phase(cluster) == "window", within_s=2)
        assert "Key file" not in worker.status.snapshot().retries
        assert read_key_file(file) == keys_of(cluster, "master")

    with caplog.at_level(logging.INFO):
        simulate(tmp_path, story)


def test_a_rotation_that_has_only_begun_can_be_given_up(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master(with_file(cluster, "master"))
        ours = cluster.worker("ours", with_file(cluster, "ours"))
        cluster.worker("old", {"link.require": "base"})
        await cluster.until(lambda: extended(ours) and len(master.roster) == 2)
        await rotate(master)
        await cluster.until(lambda: len(keys_of(cluster, "ours")) == 2)
        await ask(master, "outrider.key_abort")
        await cluster.until(lambda: phase(cluster) == "done")
        assert keys_of(cluster, "master") == keys_of(cluster, "ours") == [OLD]

    simulate(tmp_path, story)


def test_a_second_rotation_waits_for_the_first_and_a_key_in_the_settings_is_not_rotated(tmp_path: Path) -> None:
    async def refusal(asking: Coroutine[Any, Any, dict[str, Any]]) -> str:
        return str((await asking).get("__wazuh_exception__", {}))

    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        assert "link.key_file" in await refusal(rotate(master))
        await cluster.stop(master)
        master = await cluster.master(with_file(cluster, "master"))
        await rotate(master)
        assert "under way" in await refusal(rotate(master))
        await cluster.until(lambda: phase(cluster) == "window")
        assert "only a rotation that is at adding" in await refusal(ask(master, "outrider.key_abort"))

    simulate(tmp_path, story)


def test_threat_14_over_a_base_link_nobody_hears_of_a_key(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master(with_file(cluster, "master"))
        await rotate(master)
        side = await played_worker(cluster)
        with pytest.raises(RefusedByPeer, match="inside TLS alone"):
            await side.channel.request(c.KEY_STANDS, encode(Standing(holds=(OLD_ID,))), 20)

    simulate(tmp_path, story)
