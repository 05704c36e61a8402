"""What a master makes of a worker's agent information, and what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.channels import Side, say
from tests.support.cluster import MASTER, Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.peers import played_worker

from outrider.errors import RecordsRefused, StoreBusyError, UnknownAgents
from outrider.model import AgentInfo
from outrider.protocol import commands as c
from outrider.protocol.agents import AGENT_INFO_SET, decode_result, encode_message

Story = Callable[[Cluster, Side, MemoryAgents], Coroutine[Any, Any, None]]
SERVES = {c.AGENT_INFO_RESULT: say(b"Thanks"), c.AGENT_INFO_ERROR: say(b"Thanks")}


class Choosy(MemoryAgents):
    """Raises for a batch that holds the agent of an error."""

    def __init__(self, **errors: Exception) -> None:
        super().__init__()
        self.errors = errors

    async def store_agents(self, agents: Sequence[AgentInfo]) -> None:
        for one in agents:
            if error := self.errors.get(one.name):
                raise error
        await super().store_agents(agents)


def with_master(folder: Path, story: Story, agents: MemoryAgents | None = None, **changes: Any) -> None:
    async def whole(cluster: Cluster) -> None:
        store = agents or MemoryAgents()
        await cluster.master({name.replace("__", "."): value for name, value in changes.items()}, agents=store)
        await story(cluster, await played_worker(cluster, serves=SERVES), store)

    simulate(folder, whole)


def chunk(*names: str) -> bytes:
    """A chunk of agents whose numbers are in their names."""
    rows = (f'{{"id":{name[1:]},"name":"{name}","connection_status":"active"}}' for name in names)
    return ("[" + ",".join(rows) + "]").encode()


async def send(side: Side, text: bytes) -> bytes:
    name = await side.channel.request(c.NEW_STR, b"%d" % len(text), 20)
    await side.channel.request(c.STR_UPD, name + b" " + text, 20)
    assert await side.channel.request(c.AGENT_INFO, name, 20) == name
    return name


async def told(side: Side) -> tuple[str, bytes]:
    """What the master says when it is done."""
    before = len(side.requests)
    deadline = side.ports.monotonic() + 100
    while not (said := [one for one in side.requests[before:] if one[0] in {"syn_m_a_e", "syn_m_a_err"}]):
        assert side.ports.monotonic() < deadline
        await asyncio.sleep(0.01)
    return said[0]


async def kept(side: Side, *chunks: bytes) -> tuple[int, list[str]]:
    await send(side, encode_message(AGENT_INFO_SET, {}, chunks))
    name, answer = await told(side)
    assert name == "syn_m_a_e"
    result = decode_result(answer)
    return result.updated_chunks, result.error_messages


async def permitted(side: Side) -> bool:
    return await side.channel.request(c.AGENT_INFO_PERMISSION, b"", 20) == b"True"


def test_chunks_are_kept_counted_and_there_is_no_permission_meanwhile(tmp_path: Path) -> None:
    async def story(_: Cluster, side: Side, store: MemoryAgents) -> None:
        assert await permitted(side)
        store.seconds = 1
        work = asyncio.create_task(kept(side, *[chunk(f"a{number}") for number in range(1, 21)], b"[]"))
        await asyncio.sleep(0.5)
        assert not await permitted(side)
        assert await work == (21, [])
        assert await permitted(side)
        assert sorted(store.agents) == list(range(1, 21))

    with_master(tmp_path, story)


def test_one_bad_chunk_costs_no_other_and_is_counted_honestly(tmp_path: Path) -> None:
    async def story(_: Cluster, side: Side, store: MemoryAgents) -> None:
        chunks = [chunk(f"a{number}") for number in range(1, 21)]
        chunks[6] = chunk("a7", "a77")
        assert await kept(side, *chunks) == (19, ["no a7 here"])
        assert sorted(store.agents) == [number for number in range(1, 21) if number != 7]

    with_master(tmp_path, story, Choosy(a7=RecordsRefused("no a7 here")))


def test_a_chunk_of_unknown_agents_is_neither_kept_nor_an_error(tmp_path: Path) -> None:
    async def story(_: Cluster, side: Side, store: MemoryAgents) -> None:
        assert await kept(side, chunk("a1"), chunk("a2"), chunk("a3")) == (2, [])
        assert sorted(store.agents) == [1, 3]

    with_master(tmp_path, story, Choosy(a2=UnknownAgents("FOREIGN KEY constraint failed")))


def test_a_record_that_cannot_be_read_costs_no_other_of_its_chunk(tmp_path: Path) -> None:
    async def story(_: Cluster, side: Side, store: MemoryAgents) -> None:
        broken = b'[{"id":1,"name":"x","connection_status":"active"},{"id":0,"name":"y"}]'
        deep = b'[{"id":4,"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}]"
        count, (error, worse, deeper) = await kept(side, broken, b"[{", deep, chunk("a3"))
        assert count == 1
        assert error.startswith('Invalid JSON data in 1 of 2 records, first {"id":0,"name":"y"}: ')
        assert worse.startswith("Invalid JSON data: ")
        assert deeper.startswith("Invalid JSON data")
        assert sorted(store.agents) == [1, 3]

    with_master(tmp_path, story)


def test_a_chunk_that_is_no_text_or_too_large_a_one_costs_no_other(tmp_path: Path) -> None:
    async def story(_: Cluster, side: Side, store: MemoryAgents) -> None:
        rows = [chunk("a1").decode(), 7, None, [{"id": 2}], "\ud800", "[" + " " * 65_536 + "]", chunk("a3").decode()]
        await send(side, json.dumps({"set_data_command": AGENT_INFO_SET, "payload": {}, "chunks": rows}).encode())
        name, answer = await told(side)
        result = decode_result(answer)
        assert (name, result.updated_chunks, len(result.error_messages)) == ("syn_m_a_e", 2, 5)
        assert "expected a string" in result.error_messages[0]
        assert "65538 bytes are over the limit of 65536" in result.error_messages[4]
        assert sorted(store.agents) == [1, 3]

    with_master(tmp_path, story)


def test_a_record_nested_so_deep_that_a_database_could_not_search_it_is_refused(tmp_path: Path) -> None:
    async def story(_: Cluster, side: Side, store: MemoryAgents) -> None:
        deep, flat = (b"[" * depth + b"]" * depth for depth in (17, 16))
        rows = (b'{"id":%d,"name":"x","connection_status":"active","x":%b}' % row for row in ((1, deep), (2, flat)))
        count, (error,) = await kept(side, b"[" + b",".join(rows) + b"]")
        assert count == 0
        assert "nested deeper than 16" in error
        assert list(store.agents) == [2]

    with_master(tmp_path, story)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"{", b"error while trying to load JSON: "),
        (b'{"set_data_command": "global sync-agent-info-set"}', b"error while trying to load JSON: "),
        (b"[" * 100_000, b"error while trying to load JSON: "),
    ],
)
def test_threat_19_what_is_no_message_gets_an_error_and_the_link_goes_on(
    tmp_path: Path, text: bytes, answer: bytes
) -> None:
    async def story(_: Cluster, side: Side, __: MemoryAgents) -> None:
        await send(side, text)
        name, said = await told(side)
        assert (name, said[: len(answer)]) == ("syn_m_a_err", answer)
        assert await permitted(side)
        assert await kept(side, chunk("a1")) == (1, [])

    with_master(tmp_path, story)


@pytest.mark.parametrize("command", ["global sql DELETE FROM agent", "global set-agent-groups", ""])
def test_threat_18_no_other_command_is_ever_run(tmp_path: Path, command: str) -> None:
    async def story(_: Cluster, side: Side, store: MemoryAgents) -> None:
        await send(side, encode_message(command, {}, [chunk("a1")]))
        assert await told(side) == ("syn_m_a_err", b"the command %a is not allowed here" % command)
        assert store.calls == []

    with_master(tmp_path, story)


def test_a_string_that_did_not_come_whole_gets_the_original_s_words(tmp_path: Path) -> None:
    async def story(_: Cluster, side: Side, __: MemoryAgents) -> None:
        half = await side.channel.request(c.NEW_STR, b"100", 20)
        for name in (b"12", half):
            await side.channel.request(c.AGENT_INFO, name, 20)
            complaint = b"error while trying to access string under task_id %a." % name
            assert await told(side) == ("syn_m_a_err", complaint)

    with_master(tmp_path, story)


def test_a_database_in_trouble_is_told_and_the_way_is_free_again(tmp_path: Path) -> None:
    async def story(_: Cluster, side: Side, store: MemoryAgents) -> None:
        store.fault = StoreBusyError("database is locked")
        await send(side, encode_message(AGENT_INFO_SET, {}, [chunk("a1")]))
        complaint = b"error processing agent-info chunks in process pool: database is locked"
        assert await told(side) == ("syn_m_a_err", complaint)
        store.fault = None
        assert await permitted(side)

    with_master(tmp_path, story)


def test_what_the_time_does_not_suffice_for_is_reported(tmp_path: Path) -> None:
    async def story(_: Cluster, side: Side, store: MemoryAgents) -> None:
        store.seconds = 2
        count, errors = await kept(side, *[chunk(f"a{number}") for number in range(1, 31)])
        assert (count, errors) == (16, ["14 of 30 chunks not written in time, within 5 s"])
        assert await permitted(side)

    with_master(tmp_path, story, intervals__master__timeout_agent_info=5)


def test_a_second_message_before_the_first_is_done_is_told_to_wait(tmp_path: Path) -> None:
    async def story(_: Cluster, side: Side, store: MemoryAgents) -> None:
        store.seconds = 3
        text = encode_message(AGENT_INFO_SET, {}, [chunk("a1")])
        await send(side, text)
        await send(side, text)
        name, answer = await told(side)
        assert (name, answer) == (
            "syn_m_a_err",
            b"error processing agent-info chunks in process pool: an earlier message is at work",
        )
        assert (await told(side))[0] == "syn_m_a_e"

    with_master(tmp_path, story)


def test_a_worker_that_was_lost_in_the_middle_may_send_when_it_is_back(tmp_path: Path) -> None:
    async def story(cluster: Cluster, side: Side, store: MemoryAgents) -> None:
        store.seconds = 1000
        await send(side, encode_message(AGENT_INFO_SET, {}, [chunk("a1")]))
        cluster.fabric.cut(MASTER)
        await asyncio.sleep(1)
        store.seconds = 0
        again = await played_worker(cluster, serves=SERVES)
        assert await permitted(again)
        assert await kept(again, chunk("a1")) == (1, [])

    with_master(tmp_path, story)
