"""Two of our own nodes on the fast path: what travels, how little of it, and what is not taken."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import MASTER, TREE, Cluster, simulate
from tests.support.requests import ask, body

from outrider.master import Master
from outrider.model import Manifest
from outrider.protocol import generations as g
from outrider.store.generations import GenerationStore
from outrider.worker import Worker

HOUR = 3600
RARE: dict[str, Any] = {"intervals.worker.sync_integrity": HOUR, "intervals.master.recalculate_integrity": HOUR}
MANY = {f"tree/{n // 10}/{n}.conf": b"%d\n" % n for n in range(60)}
BASE_FILES = ("syn_i_w_m_p", "syn_i_w_m", "file_upd")

Nodes = tuple[Master, Worker]
Story = Callable[[Cluster, Nodes], Coroutine[Any, Any, None]]


async def in_step(cluster: Cluster, changes: dict[str, Any] | None = None) -> Nodes:
    """A master and a worker that have nothing to do for an hour."""
    cluster.write("master", {**TREE, **MANY})
    nodes = await cluster.master(RARE), cluster.worker("worker1", {**RARE, **(changes or {})})
    await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)
    await asyncio.sleep(60)
    return nodes


def change(cluster: Cluster, master: Master, files: dict[str, bytes]) -> None:
    cluster.write("master", files)
    cluster.changed(master, "tree")


def remove(cluster: Cluster, master: Master, paths: list[str]) -> None:
    for path in paths:
        (cluster.home("master") / path).unlink()
    cluster.changed(master, "tree")


def last(worker: Worker) -> str:
    kind = worker.status.snapshot().kinds["integrity"]
    return "" if kind.last is None else kind.last.detail


def told(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records)


async def called(node: Master | Worker, call: str, **arguments: Any) -> Any:
    """What a program on the node's machine gets."""
    return body(await node.routes.ask("5", ask(call, arguments, request_type="local_any")))


def test_a_change_is_at_the_worker_long_before_any_interval_and_no_file_travels_as_one(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, _ = await in_step(cluster)
        asked = len(cluster.trace.of("gen_check"))
        change(cluster, master, {"tree/3/31.conf": b"changed\n"})
        waited = await cluster.until(lambda: cluster.in_step("worker1"), within_s=5, step_s=0.005)
        assert waited < 0.1
        assert len(cluster.trace.of("gen_check")) == asked, "the step came with the news"
        await cluster.until(lambda: len(cluster.trace.of("gen_done")) == 2)
        assert not [name for name in BASE_FILES if cluster.trace.of(name)]

    simulate(tmp_path, story)


def test_in_step_a_round_is_one_question_of_a_few_bytes(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await in_step(cluster, {"intervals.worker.sync_integrity": 10})
        before = len(cluster.trace.said)
        await asyncio.sleep(100)
        said = [one for one in cluster.trace.said[before:] if one.name.startswith("gen_")]
        assert [one.name for one in said] == ["gen_check"] * 10
        answers = {(one.receiver, one.counter): one for one in cluster.trace.said}
        sizes = [len(one.payload) + len(answers[one.sender, one.counter].payload) + 2 * 20 for one in said]
        assert max(sizes) <= 200

    simulate(tmp_path, story)


def test_a_tree_that_the_master_does_not_know_is_brought_in_step_by_what_it_has(tmp_path: Path) -> None:
    large = {"tree/large": b"".join(b"line %d of a large file\n" % n for n in range(40_000))}

    async def story(cluster: Cluster) -> None:
        cluster.write("master", {**MANY, **large})
        cluster.write("worker1", {**MANY, **{path: b"a line of its own\n" + data for path, data in large.items()}})
        cluster.write("worker1", {"tree/own": b"own\n"})
        await cluster.master(RARE)
        cluster.worker("worker1", RARE)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)
        assert [len(cluster.trace.of(name)) for name in ("gen_have", "gen_sigs", "gen_read")] == [1, 1, 0]
        travelled = sum(len(one.payload) for one in cluster.trace.said)
        assert travelled < 30_000, "chunks that the worker has are not sent"

    simulate(tmp_path, story)


def test_a_file_of_the_worker_s_own_costs_one_comparison_and_stays(tmp_path: Path) -> None:
    table = [{"folder": "tree/", "extra_valid": True}]

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        cluster.write("worker1", {"tree/own": b"own\n"})
        settings = {"tree.files": table, "intervals.worker.sync_integrity": 10}
        master, _ = await cluster.master(settings), cluster.worker("worker1", settings)
        await cluster.until(lambda: cluster.tree("worker1") == {**TREE, "tree/own": b"own\n"}, within_s=30)
        await asyncio.sleep(300)
        assert len(cluster.trace.of("gen_have")) == 1
        change(cluster, master, {"tree/own": b"the master's now\n"})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)

    simulate(tmp_path, story)


def test_what_a_lost_link_cut_goes_on_over_the_next_one_where_it_stood(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, _ = await in_step(cluster, {"intervals.worker.connection_retry": 1})
        cluster.fabric.bytes_per_second = 100_000
        change(cluster, master, {"tree/large": cluster.random_bytes(900_000)})
        for _ in range(2):
            await asyncio.sleep(4)
            cluster.fabric.cut(MASTER)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)
        firsts: dict[str, int] = {}
        for one in cluster.trace.of("gen_read"):
            firsts.setdefault(one.sender, g.decode_read(one.payload).offset)
        assert len(firsts) == 3
        assert list(firsts.values()) == sorted(set(firsts.values())), "each link begins behind what had come"

    simulate(tmp_path, story)


def test_a_master_that_starts_anew_knows_where_its_workers_stand(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await in_step(cluster, {"intervals.worker.connection_retry": 1})
        await cluster.stop(master)
        cluster.write("master", {"tree/a.conf": b"changed while nobody served\n"})
        await cluster.master(RARE)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)
        assert len(cluster.trace.of("gen_have")) == 1, "only at the very first"
        await cluster.stop(worker)
        cluster.worker("worker1", RARE)
        checks = len(cluster.trace.of("gen_check"))
        await cluster.until(lambda: len(cluster.trace.of("gen_check")) > checks, within_s=60)
        assert len(cluster.trace.of("gen_have")) == 1

    simulate(tmp_path, story)


def test_old_peers_and_ours_keep_in_step_with_one_master(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, _ = await in_step(cluster)
        cluster.worker("worker2", {"link.require": "base", "intervals.worker.sync_integrity": 10})
        await cluster.until(lambda: cluster.in_step("worker1", "worker2"), within_s=60)
        change(cluster, master, {"tree/new": b"new\n"})
        await cluster.until(lambda: cluster.in_step("worker1", "worker2"), within_s=60)
        assert {one.sender for one in cluster.trace.of("syn_i_w_m")} != set()

    simulate(tmp_path, story)


def test_threat_30_an_older_state_of_the_master_is_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await in_step(cluster, {"intervals.worker.connection_retry": 1})
        await cluster.stop(master)
        shutil.copytree(cluster.home("master"), tmp_path / "kept", symlinks=True)
        master = await cluster.master(RARE)
        for word in (b"second\n", b"third\n"):
            change(cluster, master, {"tree/a.conf": word})
            await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)
            await asyncio.sleep(1)
        newest = cluster.tree("worker1")
        await cluster.stop(master)
        shutil.rmtree(cluster.home("master"))
        (tmp_path / "kept").rename(cluster.home("master"))
        master = await cluster.master(RARE)
        await cluster.until(
            lambda: told(caplog, "the master offers generation 1, this node has taken 3") == 2
        )  # at both ends
        assert cluster.tree("worker1") == newest
        assert last(worker) == "refused"
        await cluster.stop(master)  # the remedy that the line names
        shutil.rmtree(cluster.home("master") / ".outrider/generations")
        cluster.seed += 1  # chance does not repeat itself
        await cluster.master(RARE)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=600)
        assert cluster.tree("worker1") != newest

    simulate(tmp_path, story)


def test_threat_40_a_bit_that_flips_in_a_kept_generation_is_found_and_the_step_is_made_without_it(
    tmp_path: Path,
) -> None:
    async def story(cluster: Cluster) -> None:
        text = b"".join(b"line %d\n" % n for n in range(3000))
        master, worker = await in_step(cluster)
        change(cluster, master, {"tree/text": text})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)
        for kept in (cluster.home("master") / ".outrider/generations").glob("*.generation"):
            content = bytearray(kept.read_bytes())
            content[len(content) // 4] ^= 1
            kept.write_bytes(content)
        change(cluster, master, {"tree/text": text + b"the end\n", "tree/3/31.conf": b"changed\n"})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)
        assert last(worker) == "synchronised"

    simulate(tmp_path, story)


@pytest.mark.parametrize("where", ["worker", "master"])
def test_threat_31_a_step_that_empties_the_tree_waits_for_a_person(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await in_step(cluster)
        before = cluster.tree("worker1")
        remove(cluster, master, [path for path in before if path != "tree/a.conf"])
        await cluster.until(lambda: last(worker) == "refused", within_s=30)
        await asyncio.sleep(2 * HOUR)
        assert cluster.tree("worker1") == before
        assert told(caplog, "outrider approve") == 2, "once at the worker, once at the master"
        await called(worker if where == "worker" else master, "outrider.approve")
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)
        assert list(cluster.tree("worker1")) == ["tree/a.conf"]

    simulate(tmp_path, story)


def test_threat_31_a_tree_that_comes_back_needs_no_person(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await in_step(cluster)
        (cluster.home("master") / "tree").rename(cluster.home("master") / "elsewhere")
        (cluster.home("master") / "tree").mkdir()
        cluster.changed(master, "tree")
        await cluster.until(lambda: last(worker) == "refused", within_s=30)
        (cluster.home("master") / "tree").rmdir()
        (cluster.home("master") / "elsewhere").rename(cluster.home("master") / "tree")
        change(cluster, master, {"tree/new": b"new\n"})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)

    simulate(tmp_path, story)


def test_threat_39_a_tree_that_fails_its_check_goes_back_and_the_next_generation_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check = "import pathlib, sys; sys.exit('bad' in pathlib.Path('tree/a.conf').read_text())"

    async def story(cluster: Cluster) -> None:
        master, worker = await in_step(cluster, {"generations.check_command": [sys.executable, "-c", check]})
        before = cluster.tree("worker1")
        change(cluster, master, {"tree/a.conf": b"bad\n", "tree/new": b"new\n"})
        await cluster.until(lambda: last(worker) == "refused", within_s=30)
        assert cluster.tree("worker1") == before
        await cluster.until(lambda: told(caplog, "ended with 1") == 2, within_s=30)
        assert worker.status.snapshot().counters["generations_rolled_back"] == 1
        await asyncio.sleep(2 * HOUR)
        assert cluster.tree("worker1") == before
        change(cluster, master, {"tree/a.conf": b"good\n"})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)

    simulate(tmp_path, story)


def test_a_person_takes_a_worker_back_until_the_next_generation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await in_step(cluster)
        before = cluster.tree("worker1")
        change(cluster, master, {"tree/a.conf": b"changed\n"})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)
        await asyncio.sleep(1)
        assert worker.status.snapshot().standing.number == 2
        await called(worker, "outrider.rollback")
        assert cluster.tree("worker1") == before
        standing = worker.status.snapshot().standing
        assert (standing.in_step, standing.number, standing.files) == (False, 0, None)
        await cluster.until(lambda: told(caplog, "generation 2 is not taken, the worker reports: ") == 1, within_s=30)
        (seen,) = (node.standing for node in master.look().nodes if node.name == "worker1")
        assert (seen.in_step, "rolled back by a person" in seen.reason) == (False, True)
        await asyncio.sleep(2 * HOUR)
        assert worker.status.snapshot().standing.number == 0
        assert cluster.tree("worker1") == before
        stands = await called(worker, "outrider.stands_at")
        assert list(stands["bad"].values()) == ["rolled back by a person"]
        change(cluster, master, {"tree/new": b"new\n"})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)

    simulate(tmp_path, story)


def test_a_master_goes_back_to_a_generation_and_its_workers_follow(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, _ = await in_step(cluster)
        first = cluster.tree("master")
        change(cluster, master, {"tree/a.conf": b"changed\n", "tree/new": b"new\n"})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)
        shown = await called(master, "outrider.generation", number=2)
        assert (shown["added"], shown["changed"], shown["deleted"]) == (["tree/new"], ["tree/a.conf"], [])
        made = await called(master, "outrider.generations_rollback", number=1)
        assert made["number"] == 3
        assert cluster.tree("master") == first
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)
        rows = await called(master, "outrider.generations")
        assert [(row["number"], row["current"]) for row in rows] == [(1, False), (2, False), (3, True)]

    simulate(tmp_path, story)


def test_threat_46_a_master_whose_disk_takes_a_quarter_of_a_minute_answers_in_the_end(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, _ = await in_step(cluster)
        cluster.slow_threads(master, 15)
        change(cluster, master, {"tree/a.conf": b"changed\n"})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=300)
        cluster.slow_threads(master, 0)

    simulate(tmp_path, story)


def test_a_change_on_the_worker_s_side_is_taken_back_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(cluster: Cluster) -> None:
        caplog.set_level(logging.ERROR)
        _, worker = await in_step(cluster)
        cluster.write("worker1", {"tree/a.conf": b"mine\n", "tree/mine": b""})
        (cluster.home("worker1") / "tree/1/11.conf").unlink()
        cluster.changed(worker, "tree")
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=5)
        await asyncio.sleep(HOUR)
        assert caplog.records == []

    simulate(tmp_path, story)


def test_a_generation_that_is_made_while_an_offer_is_worked_out_gets_into_no_bundle_of_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was away asks; while the master looks up where it stands, the tree changes once more."""
    look_up, late = GenerationStore.manifest, [b"while it asks"]

    async def story(cluster: Cluster) -> None:
        master, worker = await in_step(cluster)
        await cluster.stop(worker)
        await asyncio.sleep(5)  # for a worker that is there its step would be packed ahead
        change(cluster, master, {"tree/a.conf": b"while it is away"})
        await asyncio.sleep(60)

        async def slowly(store: GenerationStore, number: int) -> Manifest | None:
            found = await look_up(store, number)
            while late:
                change(cluster, master, {"tree/a.conf": late.pop()})
                await asyncio.sleep(2)
            return found

        monkeypatch.setattr(GenerationStore, "manifest", slowly)
        cluster.worker("worker1", RARE)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=100)

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story)
    assert not late
    assert told(caplog, "another root") == 0
