"""What a worker answers to each command of a master, odd ones included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.channels import Side, say
from tests.support.cluster import KEY, Cluster, simulate
from tests.support.peers import PlayedMaster

from outrider.errors import RefusedByPeer, SettingsError
from outrider.protocol import commands as c
from outrider.protocol.commands import Command
from outrider.settings import Settings
from outrider.worker import Worker


def with_worker(folder: Path, story: Callable[[Side], Coroutine[Any, Any, None]]) -> None:
    async def whole(cluster: Cluster) -> None:
        errors: dict[Command, Any] = {c.GROUPS_ERROR: say(b""), c.FULL_GROUPS_ERROR: say(b"")}
        master = await PlayedMaster(cluster, errors).listen()
        cluster.worker()
        await cluster.until(lambda: bool(master.sides))
        await asyncio.sleep(1)
        await story(master.side)
        assert master.side.channel.is_open

    simulate(folder, whole)


def asked(side: Side, name: str) -> list[bytes]:
    return [payload for asked, payload in side.requests if asked == name]


def test_hello_is_the_first_thing_that_a_worker_says(tmp_path: Path) -> None:
    async def story(master: Side) -> None:
        assert master.requests[0] == ("hello", b"worker1 wazuh worker 4.9.2")

    with_worker(tmp_path, story)


def test_an_echo_of_the_master_is_answered(tmp_path: Path) -> None:
    async def story(master: Side) -> None:
        assert await master.channel.request(c.ECHO_MASTER, b"x", 20) == b"x"
        assert await master.channel.request(c.ECHO, b"y", 20) == b"y"

    with_worker(tmp_path, story)


@pytest.mark.parametrize(("command", "answer"), [(c.GROUPS, "syn_w_g_err"), (c.FULL_GROUPS, "syn_wgc_err")], ids=str)
def test_agent_groups_get_their_answer_and_then_an_error_that_says_why(
    tmp_path: Path, command: Command, answer: str
) -> None:
    async def story(master: Side) -> None:
        async def give(text: bytes) -> bytes:
            name = await master.channel.request(c.NEW_STR, str(len(text)).encode(), 20)
            await master.channel.request(c.STR_UPD, name + b" " + text, 20)
            assert await master.channel.request(command, name, 20) == name
            await asyncio.sleep(1)
            return asked(master, answer)[-1]

        assert (await give(b'{"chunks": []}')).startswith(b"error processing agent-groups chunks in process pool: ")
        assert (await give(b'{"set_data_command": "global sql", "payload": {}, "chunks": []}')).endswith(
            b"the command 'global sql' is not allowed here, only 'global set-agent-groups'"
        )
        assert await give(b"nope") == b"error while trying to load JSON: Expecting value: line 1 column 1 (char 0)"
        assert await master.channel.request(command, b"12", 20) == b"12"
        await asyncio.sleep(1)
        assert asked(master, answer)[-1] == b"error while trying to access string under task_id b'12'."

    with_worker(tmp_path, story)


@pytest.mark.parametrize(
    ("command", "payload"),
    [(c.AGENT_INFO_RESULT, b"{"), (c.INTEGRITY_SYNC_END, b"x"), (c.INTEGRITY_SYNC_ERROR, b"x"), (c.FILE_UPD, b"x")],
)
def test_rubbish_is_refused_and_the_link_goes_on(tmp_path: Path, command: Command, payload: bytes) -> None:
    async def story(master: Side) -> None:
        with pytest.raises(RefusedByPeer):
            await master.channel.request(command, payload, 20)

    with_worker(tmp_path, story)


@pytest.mark.parametrize("command", [c.HELLO, c.INTEGRITY_CHECK, c.SENDSYNC, c.GET_CONFIG])
def test_commands_that_no_worker_serves_are_unknown(tmp_path: Path, command: Command) -> None:
    async def story(master: Side) -> None:
        with pytest.raises(RefusedByPeer) as caught:
            await master.channel.request(command, b"", 20)
        assert caught.value.detail == f"unknown command '{command.name!r}'"

    with_worker(tmp_path, story)


def test_a_worker_without_a_master_s_address_or_a_key_does_not_start(tmp_path: Path) -> None:
    for lacking, key in (({"link.key": KEY}, "link.nodes"), ({"link.nodes": ["10.0.0.1"]}, "link.key")):
        with pytest.raises(SettingsError, match=key):
            Worker(Settings.from_mapping({"node.home": str(tmp_path), **lacking}))
