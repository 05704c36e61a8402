"""Other settings while nodes run: in force at once, no connection dropped; refused as a whole where one is wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import Meta, structs
from tests.support.cluster import KEY, Cluster, simulate
from tests.support.peers import played_worker
from tests.support.requests import ask, body, slow_calls

from outrider.errors import SettingsError
from outrider.master import Master
from outrider.protocol import commands as c
from outrider.settings import Settings
from outrider.settings.catalogue import CATALOGUE
from outrider.settings.reload import why_at_start
from outrider.worker import Worker

SECOND_KEY = "vutsrqponmlkjihgfedcba9876543210"


def others(node: Master | Worker, changes: Mapping[str, Any]) -> Settings:
    """The settings of a node with some values replaced; a section's name and a key's."""
    settings = node.settings
    for key, value in changes.items():
        settings = _with(settings, key, value)
    return settings


def _with(part: Any, path: str, value: Any) -> Any:
    name, _, rest = path.partition(".")
    return structs.replace(part, **{name: _with(getattr(part, name), rest, value) if rest else value})


@pytest.mark.parametrize(("link", "round_"), [("base", "syn_i_w_m_p"), ("any", None)])
def test_threat_48_new_intervals_hold_at_once_and_the_link_stays(tmp_path: Path, link: str, round_: str | None) -> None:
    """Both nodes wait for an hour when they are told 5 s; what they had waited for counts."""

    async def story(cluster: Cluster) -> None:
        cluster.write("master", {"tree/a": b"1"})
        hour = 3600.0
        master = await cluster.master({"intervals.master.recalculate_integrity": hour})
        worker = cluster.worker(changes={"intervals.worker.sync_integrity": hour, "intervals.worker.keep_alive": hour})
        await cluster.until(lambda: cluster.in_step("worker1"), 2000)
        await asyncio.sleep(100)
        (handler,), channel = master.roster.members(), worker._handler and worker._handler.session.channel
        seen, looked, rounds = len(cluster.trace.said), cluster.scans(master), rounds_of(worker)
        await worker.reload(others(worker, {"intervals.worker.sync_integrity": 5, "intervals.worker.keep_alive": 7}))
        await master.reload(others(master, {"intervals.master.recalculate_integrity": 5}))
        await asyncio.sleep(60)
        assert rounds_of(worker) - rounds >= 10
        assert cluster.scans(master) - looked >= 10
        assert handler.last_keep_alive > 150
        assert master.roster.members() == [handler]
        assert worker._handler is not None
        assert worker._handler.session.channel is channel
        assert worker.status.snapshot().link.reconnects == 0
        later = [said.name for said in cluster.trace.said[seen:]]
        assert "hello" not in later
        assert round_ is None or later.count(round_) >= 10

    simulate(tmp_path, story, link=link)


def rounds_of(worker: Worker) -> int:
    """Rounds of its files that went well."""
    return worker.status.snapshot().kinds["integrity"].succeeded


def test_threat_48_intervals_that_change_in_the_middle_of_a_transfer_break_nothing(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await cluster.master(), cluster.worker()
        await cluster.until(lambda: len(master.roster) == 1)
        cluster.slow_threads(master, 0.2)
        cluster.write("master", {f"tree/{number}": cluster.random_bytes(300_000 + number) for number in range(20)})
        cluster.changed(master, "tree")
        for seconds in (30.0, 5.0, 60.0, 2.0, 300.0, 1.0):
            intervals = {
                "intervals.communication.timeout_receiving_file": 60 + seconds,
                "link.window": 1 + int(seconds) % 5,
            }
            for node, key in ((master, "master.recalculate_integrity"), (worker, "worker.sync_integrity")):
                await node.reload(others(node, {f"intervals.{key}": seconds, **intervals}))
            await asyncio.sleep(0.3)
        await cluster.until(lambda: cluster.in_step("worker1"), 100)
        assert worker.status.snapshot().link.reconnects == 0
        assert worker.status.snapshot().kinds["integrity"].failed == 0

    simulate(tmp_path, story)


def test_threat_48_one_wrong_value_and_nothing_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "worker.toml"

    async def story(cluster: Cluster) -> None:
        await cluster.master()
        plain = cluster.settings("worker1")
        file.write_text(toml(plain.node.home), "utf-8")
        worker = cluster.started(Worker(Settings.load(file, {}, {}), cluster.ports("worker1"), agents=cluster.agents()))
        await cluster.until(lambda: worker.status.snapshot().link.connected)
        before = worker.settings
        file.write_text(toml(plain.node.home) + "[limits]\ntasks = 3\n[grants]\nmaster = 7\n", "utf-8")
        with pytest.raises(SettingsError, match=r"grants\.master"):
            await worker.reload()
        assert worker.settings is before
        assert "grants.master" in worker.status.snapshot().notes["settings"]
        assert worker.status.snapshot().link.reconnects == 0
        file.write_text(toml(plain.node.home) + "[limits]\ntasks = 3\n", "utf-8")
        reloaded = await worker.reload()
        assert [str(change) for change in reloaded.changed] == ["limits.tasks: 64 -> 3"]
        assert "settings" not in worker.status.snapshot().notes

    with caplog.at_level(logging.INFO, "outrider"):
        simulate(tmp_path, story)
    refused = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(refused) == 1
    assert "those of before are in force: grants.master" in refused[0].getMessage()
    assert "settings changed: limits.tasks: 64 -> 3" in caplog.text


def toml(home: Path) -> str:
    return (
        f'[node]\nhome = "{home}"\nname = "worker1"\n[link]\nnodes = ["10.0.0.1"]\nkey = "{KEY}"\n'
        '[tree]\nfiles = [{folder = "tree/", remove_subdirs_if_empty = true}]\n'
    )


@pytest.mark.parametrize("missing", [{"link.nodes": ()}, {"link.key": None}, {"agents.store": "nowhere"}])
def test_threat_48_settings_with_which_the_node_would_not_start_are_refused(
    tmp_path: Path, missing: dict[str, Any]
) -> None:
    async def story(cluster: Cluster) -> None:
        worker = cluster.worker()
        before = worker.settings
        with pytest.raises(SettingsError, match=next(iter(missing)).replace(".", r"\.")):
            await worker.reload(others(worker, {**missing, "limits.tasks": 1}))
        assert worker.settings is before

    simulate(tmp_path, story)


def test_threat_48_what_cannot_change_is_named_and_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        changes = {"node.name": "another", "link.port": 2000, "tree.files": (), "limits.tasks": 5}
        reloaded = await master.reload(others(master, changes))
        assert [change.key for change in reloaded.waiting] == ["node.name", "link.port", "tree.files"]
        assert [change.key for change in reloaded.changed] == ["limits.tasks"]
        now = master.settings
        assert (now.node.name, now.link.port, now.limits.tasks) == ("master-node", 1516, 5)
        assert master.status.snapshot().notes["settings"].endswith("node.name, link.port, tree.files")
        await played_worker(cluster)

    with caplog.at_level(logging.INFO, "outrider"):
        simulate(tmp_path, story)
    assert 'node.name: "master-node" -> "another" (takes effect at the next start)' in caplog.text


def test_threat_48_room_that_is_made_lets_in_who_waits(tmp_path: Path) -> None:
    """One request runs for an hour and a second waits; with room for two it begins at once."""
    tight = {"limits.requests_running": 1, "limits.requests_running_per_peer": 1}

    async def story(cluster: Cluster) -> None:
        master = await cluster.master(tight)
        first = asked(master, "test.sleep", seconds=180)
        await asyncio.sleep(1)
        second = asked(master, "test.sleep", seconds=1)
        await asyncio.sleep(10)
        assert not second.done()
        await master.reload(others(master, {"limits.requests_running": 2, "limits.requests_running_per_peer": 2}))
        await asyncio.wait_for(asyncio.shield(second), 2)
        assert not first.done()
        first.cancel()

    with slow_calls():
        simulate(tmp_path, story)


def test_threat_48_a_thread_that_is_allowed_is_given_to_a_call_that_waits(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master({"limits.calls_in_threads": 1})
        cluster.slow_threads(master, 60)
        calls = [asked(master, "test.plain") for _ in range(2)]
        await asyncio.sleep(1)
        await master.reload(others(master, {"limits.calls_in_threads": 4}))
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.gather(*calls)
        assert loop.time() - started < 65, "one after the other takes two minutes"

    with slow_calls():
        simulate(tmp_path, story)


def asked(master: Master, call: str, **arguments: Any) -> asyncio.Future[Any]:
    request = ask(call, arguments, request_type="local_any")
    return asyncio.ensure_future(_answer(master, request))


async def _answer(master: Master, request: bytes) -> Any:
    return await master.routes.ask("a program", request)


def test_threat_48_grants_and_daemons_are_those_of_now(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        ping = ask("outrider.ping", request_type="local_any")
        assert (await master.routes.ask("a program", ping)).ok
        await master.reload(others(master, {"grants.programs": ("wazuh.*",)}))
        refused = await master.routes.ask("a program", ping)
        assert not refused.ok
        assert b"grants.programs" in refused.body
        daemon = b'{"daemon_name": "authd", "message": "x"}'
        assert b"1014" in (await master.routes.sendsync("a program", daemon)).body
        await master.reload(others(master, {"sendsync.authd": Path("auth"), "grants.programs": ("*",)}))
        assert (await master.routes.ask("a program", ping)).ok

    simulate(tmp_path, story)


def test_threat_48_other_keys_of_the_settings_seal_at_once(tmp_path: Path) -> None:
    """A key in the settings themselves: the old one opens what a link that stands has under way."""

    async def story(cluster: Cluster) -> None:
        master, worker = await cluster.master(), cluster.worker()
        await cluster.until(lambda: worker.status.snapshot().link.connected)
        for node in (master, worker):
            old = node.settings.link.key
            rotated = {"link.key": type(old)(SECOND_KEY), "link.previous_keys": (old,)} if old else {}
            await node.reload(others(node, rotated))
        side = await played_worker(cluster, "worker2")
        await side.channel.request(c.ECHO, b"still opened", 20)
        assert [key.decode() for key in master._keys.ring.keys] == [SECOND_KEY, KEY]
        assert worker.status.snapshot().link.reconnects == 0

    simulate(tmp_path, story, link="base")


def test_only_programs_of_the_machine_have_a_node_load_its_settings(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await cluster.master(), cluster.worker()
        await cluster.until(lambda: worker.status.snapshot().link.connected)
        here = ask("outrider.reload", request_type="local_any")
        answer = body(await master.routes.ask("a program", here))
        assert answer["changed"] == []
        assert "made by the program" in answer["errors"][0]
        far = body(await worker.routes.ask("a program", ask("outrider.reload", request_type="local_master")))
        assert "only programs on the machine" in str(far)

    simulate(tmp_path, story)


def test_the_settings_file_is_followed_once_it_is_quiet_and_only_if_it_may(tmp_path: Path) -> None:
    file = tmp_path / "worker.toml"

    async def story(cluster: Cluster) -> None:
        await cluster.master()
        plain = toml(cluster.settings("worker1").node.home)
        file.write_text(plain, "utf-8")
        worker = cluster.started(Worker(Settings.load(file, {}, {}), cluster.ports("worker1"), agents=cluster.agents()))
        await cluster.until(lambda: worker.status.snapshot().link.connected)
        for number in range(1, 20):  # it is being written: no look at it is the last
            file.write_text(plain + f"[limits]\ntasks = {number}\n" + "#" * number, "utf-8")
            await asyncio.sleep(0.9)
            assert worker.settings.limits.tasks == 64
        await asyncio.sleep(4)
        assert worker.settings.limits.tasks == 19
        file.write_text(plain + "[watch]\nsettings = false\n", "utf-8")
        await asyncio.sleep(5)
        assert worker.settings.limits.tasks == 64
        file.write_text(plain + "[limits]\ntasks = 7\n", "utf-8")
        await asyncio.sleep(60)
        assert worker.settings.limits.tasks == 64
        await worker.reload()
        assert worker.settings.limits.tasks == 7
        file.unlink()
        await asyncio.sleep(60)
        assert "there is no settings file" in worker.status.snapshot().notes["settings"]

    simulate(tmp_path, story)


# no copy

ALIKE = 256
"""Whole numbers up to this one are the same object wherever they come from."""
LEAST = 65
"""So many settings can be told apart, of some 90 that are live."""


def test_threat_48_no_part_of_a_running_node_keeps_a_copy_of_a_setting_that_is_live(tmp_path: Path) -> None:
    """Every value that is live is replaced: nothing in the process refers to one of before.

    Numbers are told apart as objects: each is one of its own, and only of the settings.
    """

    async def story(cluster: Cluster) -> None:
        master = await cluster.master(unusual(1))
        worker = cluster.worker(changes=unusual(1))
        await cluster.until(lambda: cluster.in_step("worker1"), 2000)
        await asyncio.sleep(400)
        for node in (master, worker):
            old = values_of(node.settings)
            assert len(old) > LEAST
            name = "master" if node is master else "worker1"
            await node.reload(cluster.settings(name, unusual(2)))
            await asyncio.sleep(7200)  # every round has come, every pause is another
            await cluster.until(lambda: worker.status.snapshot().link.connected)
            gc.collect()
            assert {key: holders for key in old if (holders := holders_of(old, key))} == {}

    simulate(tmp_path, story)


def unusual(number: int) -> dict[str, Any]:
    """Every live setting whose values can be told apart, set to what no other has."""
    given: dict[str, Any] = {}
    for key in CATALOGUE.values():
        most = next((note.le for note in key.type.__metadata__ if isinstance(note, Meta)), None) or 0
        if why_at_start(key.name) or isinstance(key.default, bool) or key.secret:
            continue
        if isinstance(key.default, float) and key.default:
            given[key.name] = key.default * (1 - number / 1000)
        elif isinstance(key.default, int) and (key.default > ALIKE or most > 2 * ALIKE):
            given[key.name] = max(key.default, 2 * ALIKE) - number
        elif isinstance(key.default, tuple) and key.name not in {"link.nodes", "generations.check_command"}:
            given[key.name] = ["*", f"test.{number}"]
        elif key.name.startswith("sendsync."):
            given[key.name] = f"sockets/{number}"
    return given


def values_of(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in unusual(1):
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        found[name] = value
    return found


def holders_of(old: Mapping[str, Any], key: str) -> list[str]:
    """What refers to the old value of a key, besides the table of old values."""
    holders = [holder for holder in gc.get_referrers(old[key]) if holder is not old]
    return [f"{type(holder).__qualname__} {str(holder)[:200]}" for holder in holders]
