"""What a master answers to each command of a worker, odd ones included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.channels import Side, say
from tests.support.cluster import Cluster, simulate
from tests.support.peers import played_worker

from outrider.errors import Refusal, RefusedByPeer, SettingsError
from outrider.master import Master
from outrider.model import NodeInfo
from outrider.protocol import commands as c
from outrider.protocol.commands import Command
from outrider.settings import Settings


def with_master(
    folder: Path, story: Callable[[Side, Master], Coroutine[Any, Any, None]], *, hello: bool = True
) -> None:
    async def whole(cluster: Cluster) -> None:
        master = await cluster.master()
        side = await played_worker(cluster, serves={c.AGENT_INFO_ERROR: say(b"")}, hello=hello)
        await story(side, master)
        assert side.channel.is_open

    simulate(folder, whole)


async def code(side: Side, command: Command, payload: bytes = b"") -> tuple[int, str | None]:
    with pytest.raises(RefusedByPeer) as caught:
        await side.channel.request(command, payload, 20)
    return caught.value.code, caught.value.detail


def test_hello_is_answered_and_the_worker_is_on_the_roster(tmp_path: Path) -> None:
    async def story(side: Side, master: Master) -> None:
        answer = await side.channel.request(c.HELLO, b"worker1 wazuh worker 4.9.2", 20)
        assert answer == b"Client worker1 added"
        (member,) = master.roster.members()
        assert (member.info.name, member.info.type, member.info.version) == ("worker1", "worker", "4.9.2")
        assert member.info.address == "10.0.1.1"

    with_master(tmp_path, story, hello=False)


def test_threat_17_who_is_lost_while_the_greeting_is_under_way_takes_no_name(tmp_path: Path) -> None:
    """A seed of the simulator found one: its name would be refused for ever, since nobody hears that it left."""

    async def whole(cluster: Cluster) -> None:
        master = await cluster.master()
        side = await played_worker(cluster, hello=False)
        (handler,) = master._handlers
        side.channel.close("it is lost")
        await cluster.until(lambda: not handler.session.channel.is_open)
        with pytest.raises(Refusal, match="lost before hello was answered"):
            handler._join(NodeInfo(name="worker1", type="worker", version="4.9.2", address="10.0.1.1"))
        assert len(master.roster) == 0

    simulate(tmp_path, whole)


MALFORMED = [b"", b"worker1", b"worker1 wazuh worker", b"a b wazuh worker 4.9.2", b"\xff \xff \xff \xff"]


@pytest.mark.parametrize("hello", MALFORMED)
def test_a_malformed_hello_is_refused_and_a_good_one_may_follow(tmp_path: Path, hello: bytes) -> None:
    async def story(side: Side, _: Master) -> None:
        assert (await code(side, c.HELLO, hello))[0] == 1000
        await side.channel.request(c.HELLO, b"worker1 wazuh worker 4.9.2", 20)

    with_master(tmp_path, story, hello=False)


@pytest.mark.parametrize("name", ["../../x", "a\0b", "x" * 4096, "master", "..", "wörker", "-x", "a/b"])
def test_threat_16_a_name_that_could_be_a_path_is_refused_and_makes_none(tmp_path: Path, name: str) -> None:
    async def story(side: Side, master: Master) -> None:
        assert (await code(side, c.HELLO, f"{name} wazuh worker 4.9.2".encode()))[0] == 1000
        assert len(master.roster) == 0
        assert list((tmp_path / "master" / "queue" / "cluster").iterdir()) == []

    with_master(tmp_path, story, hello=False)


def test_threat_20_a_second_hello_is_refused_whatever_name_it_says(tmp_path: Path) -> None:
    async def story(side: Side, master: Master) -> None:
        for name in ("worker1", "worker2"):
            assert (await code(side, c.HELLO, f"{name} wazuh worker 4.9.2".encode()))[0] == 3028
        assert [member.info.name for member in master.roster.members()] == ["worker1"]

    with_master(tmp_path, story)


def test_threat_20_of_two_hellos_in_one_breath_one_is_taken(tmp_path: Path) -> None:
    async def story(side: Side, master: Master) -> None:
        hellos = [side.channel.request(c.HELLO, f"{name} wazuh worker 4.9.2".encode(), 20) for name in ("one", "two")]
        answers = await asyncio.gather(*hellos, return_exceptions=True)
        assert answers[0] == b"Client one added"
        assert isinstance(answers[1], RefusedByPeer)
        assert [member.info.name for member in master.roster.members()] == ["one"]

    with_master(tmp_path, story, hello=False)


@pytest.mark.parametrize("command", [c.INTEGRITY_PERMISSION, c.NEW_FILE, c.NEW_STR, c.KEEP_ALIVE, c.AGENT_INFO])
def test_threat_20_nothing_but_echo_and_hello_comes_before_hello(tmp_path: Path, command: Command) -> None:
    async def story(side: Side, _: Master) -> None:
        answer = await code(side, command, b"1")
        assert answer[0] == 1000
        assert "before hello" in str(answer[1])
        assert await side.channel.request(c.ECHO, b"x", 20) == b"x"

    with_master(tmp_path, story, hello=False)


def test_keep_alives_and_permissions_have_their_answers(tmp_path: Path) -> None:
    async def story(side: Side, _: Master) -> None:
        assert await side.channel.request(c.KEEP_ALIVE, b"keepalive", 20) == b"keepalive"
        assert await side.channel.request(c.AGENT_INFO_PERMISSION, b"", 20) == b"True"

    with_master(tmp_path, story)


def test_agent_information_gets_its_answer_and_then_an_error_that_says_why(tmp_path: Path) -> None:
    async def story(side: Side, _: Master) -> None:
        name = await side.channel.request(c.NEW_STR, b"2", 20)
        await side.channel.request(c.STR_UPD, name + b" {}", 20)
        for given in (name, b"12"):
            assert await side.channel.request(c.AGENT_INFO, given, 20) == given
            await asyncio.sleep(1)
        told = [payload for asked, payload in side.requests if asked == "syn_m_a_err"]
        no_message, no_string = told
        assert no_message.startswith(b"error while trying to load JSON: the message cannot be read: missing field")
        assert no_string == b"error while trying to access string under task_id b'12'."

    with_master(tmp_path, story)


@pytest.mark.parametrize(
    "command", [c.IN_STEP, c.INTEGRITY_SYNC, c.SENDSYNC_RESULT, c.DAPI_FORWARD, c.GET_CONFIG, c.EXTRA_VALID]
)
def test_commands_that_no_master_serves_are_unknown(tmp_path: Path, command: Command) -> None:
    async def story(side: Side, _: Master) -> None:
        assert await code(side, command) == (3000, f"unknown command '{command.name!r}'")

    with_master(tmp_path, story)


def test_a_master_without_a_key_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"link\.key"):
        Master(Settings.from_mapping({"node.home": str(tmp_path)}))
