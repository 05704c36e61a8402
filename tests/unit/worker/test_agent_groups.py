"""Messages of groups at a worker: what is written, what is answered, in which order, and what is let go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.channels import Side, never, say
from tests.support.cluster import Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.peers import PlayedMaster

from outrider.errors import RefusedByPeer, StoreError
from outrider.model import GroupAssignment, GroupMode, SyncStatus
from outrider.protocol import commands as c
from outrider.protocol.agents import GROUPS_PAYLOAD, GROUPS_SET, encode_groups, encode_message
from outrider.protocol.commands import Command

ANSWERS = (c.GROUPS_RESULT, c.FULL_GROUPS_RESULT, c.GROUPS_ERROR, c.FULL_GROUPS_ERROR, c.FULL_GROUPS_REQUEST)
Story = Callable[["Sent"], Coroutine[Any, Any, None]]


class Recording(MemoryAgents):
    """Remembers how it was asked to assign."""

    def __init__(self) -> None:
        super().__init__()
        self.assigned: list[tuple[list[int], GroupMode, SyncStatus]] = []

    async def set_groups(
        self, assignments: Sequence[GroupAssignment], mode: GroupMode = "override", status: SyncStatus = "synced"
    ) -> None:
        self.assigned.append(([one.id for one in assignments], mode, status))
        await super().set_groups(assignments, mode, status)


class Sent:
    """A master that sends groups to a worker."""

    def __init__(self, master: PlayedMaster, agents: Recording) -> None:
        self.master = master
        self.agents = agents

    @property
    def side(self) -> Side:
        return self.master.side

    async def send(self, text: bytes, command: Command = c.GROUPS) -> bytes:
        """Send a string and the command that refers to it; the string's id."""
        name = await self.side.channel.request(c.NEW_STR, str(len(text)).encode(), 20)
        await self.side.channel.request(c.STR_UPD, name + b" " + text, 20)
        assert await self.side.channel.request(command, name, 20) == name
        return name

    async def chunks(self, *chunks: bytes, command: Command = c.GROUPS) -> dict[str, Any]:
        """Send chunks; the result."""
        before = len(self.answers())
        await self.send(encode_message(GROUPS_SET, GROUPS_PAYLOAD, chunks), command)
        await asyncio.sleep(1)
        name, payload = self.answers()[before]
        assert name == ("syn_w_g_e" if command is c.GROUPS else "syn_wgc_e")
        result: dict[str, Any] = json.loads(payload)
        return result

    def answers(self) -> list[tuple[str, bytes]]:
        names = {str(command) for command in ANSWERS}
        return [said for said in self.side.requests if said[0] in names]


def with_worker(folder: Path, story: Story, **changes: Any) -> None:
    async def whole(cluster: Cluster) -> None:
        agents = Recording()
        master = await PlayedMaster(cluster, {command: say(b"Thanks") for command in ANSWERS}).listen()
        cluster.worker(changes={f"intervals.worker.{name}": value for name, value in changes.items()}, agents=agents)
        await cluster.until(lambda: bool(master.sides))
        await asyncio.sleep(1)
        await story(Sent(master, agents))

    simulate(folder, whole)


def groups(*ids: int, name: str = "web", **more: Any) -> bytes:
    return encode_groups([GroupAssignment(number, (name,)) for number in ids], **more)


def test_a_chunk_that_is_no_text_stops_no_other(tmp_path: Path) -> None:
    async def story(sent: Sent) -> None:
        chunks = [groups(1).decode(), 7, ["x"], groups(2, digest="a" * 40).decode()]
        await sent.send(json.dumps({"set_data_command": GROUPS_SET, "payload": {}, "chunks": chunks}).encode())
        await asyncio.sleep(1)
        (name, payload), *_ = sent.answers()
        result = json.loads(payload)
        assert (name, result["updated_chunks"], len(result["error_messages"])) == ("syn_w_g_e", 2, 2)
        assert all("expected a string" in error for error in result["error_messages"])
        assert {number: names for number, names in sent.agents.known.items() if names} == {1: ("web",), 2: ("web",)}

    with_worker(tmp_path, story)


def test_a_bad_chunk_or_assignment_stops_no_other(tmp_path: Path) -> None:
    async def story(sent: Sent) -> None:
        bad = b'[{"data":[{"id":3,"groups":["a"]},{"id":"x","groups":[]},{"id":4,"groups":["b/c"]}]}]'
        result = await sent.chunks(groups(1, 2), b"{rubbish", bad, b"[]", groups(5), encode_groups([]))
        assert result["updated_chunks"] == 3
        assert len(result["error_messages"]) == 4
        assert {number: names for number, names in sent.agents.known.items() if names} == {
            1: ("web",),
            2: ("web",),
            3: ("a",),
            5: ("web",),
        }

    with_worker(tmp_path, story)


def test_how_groups_are_assigned_is_not_the_wire_s_to_say(tmp_path: Path) -> None:
    async def story(sent: Sent) -> None:
        odd = {"mode": "remove", "sync_status": "syncreq", "more": 1}
        await sent.send(encode_message(GROUPS_SET, odd, [groups(1)]))
        await asyncio.sleep(1)
        assert sent.agents.assigned == [([1], "override", "synced")]
        await sent.send(encode_message("global sql delete from agent", GROUPS_PAYLOAD, [groups(2)]))
        await asyncio.sleep(1)
        assert sent.answers()[-1][0] == "syn_w_g_err"
        assert 2 not in sent.agents.known

    with_worker(tmp_path, story)


def test_threat_44_groups_whose_files_are_not_here_are_no_error(tmp_path: Path) -> None:
    async def story(sent: Sent) -> None:
        assert not (tmp_path / "worker1" / "etc").exists()
        result = await sent.chunks(groups(1, name="no-folder-of-this-name"))
        assert result["error_messages"] == []
        assert sent.agents.known == {1: ("no-folder-of-this-name",)}

    with_worker(tmp_path, story)


def test_messages_are_written_one_at_a_time_in_their_order_and_over_the_limit_refused(tmp_path: Path) -> None:
    async def story(sent: Sent) -> None:
        sent.agents.seconds = 0.2
        for number in range(1, 6):
            command = c.FULL_GROUPS if number == 3 else c.GROUPS
            await sent.send(encode_message(GROUPS_SET, GROUPS_PAYLOAD, [groups(1, number, name=f"n{number}")]), command)
        await asyncio.sleep(10)
        assert [ids for ids, *_ in sent.agents.assigned] == [[1, number] for number in range(1, 6)]
        assert sent.agents.known[1] == ("n5",)
        assert [name for name, _ in sent.answers()] == ["syn_w_g_e"] * 2 + ["syn_wgc_e"] + ["syn_w_g_e"] * 2
        sent.agents.seconds = 10
        asked = [sent.side.channel.request(c.GROUPS, b"7", 20) for _ in range(70)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(answer, RefusedByPeer) for answer in answers) >= 6

    with_worker(tmp_path, story)


def test_what_is_not_written_in_time_is_told_and_the_next_message_is(tmp_path: Path) -> None:
    async def story(sent: Sent) -> None:
        sent.agents.seconds = 2
        await sent.send(encode_message(GROUPS_SET, GROUPS_PAYLOAD, [groups(1), groups(2), groups(3)]))
        await asyncio.sleep(20)
        (result,) = [json.loads(payload) for name, payload in sent.answers() if name == "syn_w_g_e"]
        assert result["updated_chunks"] == 2
        assert result["error_messages"] == ["1 of 3 chunks not written within 5 s"]
        sent.agents.seconds = 0
        assert (await sent.chunks(groups(3)))["updated_chunks"] == 1

    with_worker(tmp_path, story, timeout_agent_groups=5)


@pytest.mark.parametrize("error", [StoreError("the disk is full"), RuntimeError("a host's own")])
def test_whatever_a_store_raises_the_turn_passes_on(tmp_path: Path, error: Exception) -> None:
    async def story(sent: Sent) -> None:
        sent.agents.fault = error
        await sent.send(encode_message(GROUPS_SET, GROUPS_PAYLOAD, [groups(1)]))
        await asyncio.sleep(1)
        assert len(sent.answers()) == 1
        sent.agents.fault = None
        assert (await sent.chunks(groups(1)))["error_messages"] == []

    with_worker(tmp_path, story)


def test_a_lost_link_in_the_middle_leaves_nothing_that_the_next_one_waits_for(tmp_path: Path) -> None:
    async def story(sent: Sent) -> None:
        sent.side.serves[c.GROUPS_RESULT] = never
        sent.agents.seconds = 3
        for number in (1, 2):
            await sent.send(encode_message(GROUPS_SET, GROUPS_PAYLOAD, [groups(number)]))
        await asyncio.sleep(4)
        sent.side.channel.close("gone")
        sent.agents.seconds = 0
        await asyncio.sleep(30)
        assert len(sent.master.sides) == 2
        assert (await sent.chunks(groups(3)))["updated_chunks"] == 1
        assert 2 not in sent.agents.known

    with_worker(tmp_path, story)


def test_a_hash_that_cannot_be_had_counts_as_different_and_one_that_is_absent_does_not(tmp_path: Path) -> None:
    async def story(sent: Sent) -> None:
        for _ in range(4):
            await sent.chunks(groups(1))
        for _ in range(2):
            await sent.chunks(groups(1, digest="0" * 40))
        assert "syn_w_g_c" not in dict(sent.answers())
        sent.agents.fault = StoreError("no checksum today")
        await sent.chunks(encode_groups([], "0" * 40))
        assert sent.answers()[-1] == ("syn_w_g_c", b"")

    with_worker(tmp_path, story)
