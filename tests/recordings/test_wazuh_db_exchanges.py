"""Every exchange recorded with a wazuh-db, played to our client: the cluster's through the store, the others raw.

The stand-in answers as recorded and takes no other request than the recorded one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct, convert
from tests.recordings.vectors import VECTORS
from tests.recordings.wazuh_db_stage import GROUPS_GET, GROUPS_SET, Stage

from outrider.errors import RecordsRefused, StoreError, UnknownAgents
from outrider.model import GroupAssignment
from outrider.protocol.agents import decode_agents, encode_agents
from outrider.store.agents import GroupsQuery
from outrider.store.wazuh_db import WazuhDb
from outrider.store.wazuh_db.frames import AnswerReader, pack_request
from outrider.store.wazuh_db.replies import failure, read_reply

Row = dict[str, Any]
INFO_GET, INFO_SET = "global sync-agent-info-get {}", "global sync-agent-info-set "
HASHES = "global recalculate-agent-group-hashes"
BEYOND_OUR_TYPES = {
    *(4, 5, 181),  # other forms of sync-agent-info-get
    *(107, 108, 109, 110, 111, 112),  # sync-agent-groups-get without an object, and with wrong values
    *(94, 97, 98, 101, 102, 103, 104, 105, 106),  # set-agent-groups: wrong values, nothing to set, no JSON
    *(154, 155, 165, 167, 171, 172, 173, 174, 175, 176),  # sync-agent-info-set: the same
}
"""The cluster's requests that only a raw client can make."""


@cache
def rows() -> list[Row]:
    """The recording, in its order."""
    return [json.loads(line) for line in (VECTORS / "wazuh-db-exchanges.jsonl").read_text().splitlines()]


SECTIONS = list(dict.fromkeys(row["section"] for row in rows()))
STUCK, TOO_LARGE = (253, 254), 2
"""The rows of an endless ``due []``, and the agent that is its cause."""
FURTHER: dict[int, Callable[[bytes], bytes]] = {
    # What the store asks beyond the recording: which of the four agents is refused, which agent does not fit.
    87: lambda request: (
        b"err An error occurred during the set of the groups"
        if b'"id":5' in request or b'"id":9999' in request
        else b"ok"
    ),
    253: lambda request: {
        b"global sync-agent-info-get last_id 0": b"due []",
        b"global sync-agent-info-get last_id 2": b"ok []",
    }.get(request, b'ok [{"id":%d}]' % TOO_LARGE),
}
FURTHER[254] = FURTHER[253]


class GroupsFields(Struct):
    """The argument of ``sync-agent-groups-get`` as specification 6.3 has it."""

    condition: Literal["all", "sync_status"] | None = None
    last_id: Annotated[int, Meta(ge=0)] = 0
    set_synced: bool = False
    get_global_hash: bool = False
    agent_registration_delta: int | None = None


# one kind of row each


async def play_raw(stage: Stage, request: bytes, response: bytes) -> None:
    reply = await stage.client.request(request)
    assert reply == read_reply(response)
    status, _, payload = response.removesuffix(b"\n").partition(b" ")
    if not response.startswith(b"{"):
        assert (reply.status.encode(), reply.payload) == (status, payload)
    if reply.status == "err":
        foreign = b"FOREIGN KEY" in response
        busy = b"Couldn't open DB" in response
        error = failure(reply)
        assert isinstance(error, RecordsRefused) is not busy
        assert isinstance(error, UnknownAgents) is foreign
        assert payload.decode() in str(error)


async def play_store(stage: Stage, row: Row) -> bool:
    """Whether the row is one that the store itself may ask; then it has."""
    request: str = row["request"]
    command, _, argument = request.partition(" {") if GROUPS_GET in request else (request, "", "")
    if request == INFO_GET:
        await play_changed_agents(stage, row)
    elif request == HASHES:
        await stage.store.recalculate_hashes()
    elif command + " " == GROUPS_GET:
        return await play_groups(stage, "{" + argument, row["response"])
    elif request.startswith((INFO_SET, GROUPS_SET)):
        return await play_write(stage, request, row["response"])
    else:
        return False
    return True


async def play_changed_agents(stage: Stage, row: Row) -> None:
    part = await stage.store.changed_agents()
    status, _, payload = row["response"].partition(" ")
    assert part.more is (status == "due" and row["seq"] not in STUCK)
    assert json.loads(encode_agents(part.agents)) == json.loads(payload)


async def play_groups(stage: Stage, argument: str, response: str) -> bool:
    query = asked(argument)
    if query is None:
        return False
    part = await stage.store.groups(query)
    status, _, payload = response.partition(" ")
    element = json.loads(payload)[0]
    assert [{"id": agent.id, "groups": list(agent.groups)} for agent in part.assignments] == element["data"]
    assert part.more is (status == "due")
    assert part.hash == element.get("hash")
    return True


def asked(argument: str) -> GroupsQuery | None:
    """The query of the port that this is; ``None`` where its types cannot say it."""
    try:
        fields = convert(json.loads(argument), GroupsFields)
    except ValueError:
        return None
    return GroupsQuery(
        fields.condition, fields.last_id, fields.set_synced, fields.get_global_hash, fields.agent_registration_delta
    )


async def play_write(stage: Stage, request: str, response: str) -> bool:
    write = written(stage.store, request)
    if write is None:
        return False
    if response == "ok":
        await write
        return True
    with pytest.raises(RecordsRefused, match=r"^wazuh-db refused agent") as caught:
        await write
    assert response.removeprefix("err ") in str(caught.value)
    assert isinstance(caught.value, UnknownAgents) is ("FOREIGN KEY" in response)
    if b'"id":9999' in request.encode() and b'"id":5' in request.encode():
        assert "agents 5, 9999:" in str(caught.value)
    return True


def written(store: WazuhDb, request: str) -> Awaitable[None] | None:
    """The call of the store that this is; ``None`` where our types cannot say it, or there is nothing to write."""
    try:
        if request.startswith(INFO_SET):
            agents = decode_agents(request.removeprefix(INFO_SET).encode())
            return store.store_agents(agents) if agents else None
        fields = json.loads(request.removeprefix(GROUPS_SET))
        if fields.get("mode") not in {"override", "append", "empty_only", "remove"}:
            return None
        if fields.get("sync_status", "synced") not in {"synced", "syncreq"} or not fields.get("data"):
            return None
        assignments = convert(fields["data"], list[GroupAssignment])
    except ValueError:
        return None
    return store.set_groups(assignments, fields["mode"], fields.get("sync_status", "synced"))


async def play_frames(stage: Stage, row: Row) -> None:
    """Rows that are given as bytes."""
    if row.get("executed") is False:
        size = int.from_bytes(bytes.fromhex(row["request_hex"].split(" ")[0]), "little")
        with pytest.raises(RecordsRefused, match="65,537"):
            await stage.client.request(b"x" * size)
        assert stage.daemon.threads == 8
        return
    sent, answered = bytes.fromhex(row["request_hex"]), bytes.fromhex(row["response_hex"])
    reader = AnswerReader()
    requests = list(reader.feed(sent))  # the framing is the same both ways
    if not answered:
        # What makes wazuh-db close: an empty request, or one that is not whole. We pack neither.
        assert requests == ([b""] if sent == b"\0\0\0\0" else [])
        for request in requests:
            with pytest.raises(RecordsRefused):
                pack_request(request)
        assert bool(reader.buffered) is not bool(requests)
        return
    assert b"".join(map(pack_request, requests)) == sent
    answers = list(AnswerReader().feed(answered))
    for request, answer in zip(requests, answers, strict=True):
        stage.expect(request, [answer])
        await play_raw_bytes(stage, request, answer)


async def play_raw_bytes(stage: Stage, request: bytes, answer: bytes) -> None:
    reply = await stage.client.request(request)
    status, _, payload = answer.removesuffix(b"\n").partition(b" ")
    assert (reply.status.encode(), reply.payload) == (status, payload)
    assert stage.daemon.requests[-1] == request
    stage.check()


async def play(stage: Stage, row: Row) -> str:
    """Play a row; how it was played."""
    if row["request"] is None:
        await play_frames(stage, row)
        return "bytes"
    response: str = row["response"]
    frames = [frame.encode() for frame in row.get("frames", [response])]
    if "bulk" in row:
        first, last, step = row["ids"]
        for agent in range(first, last + 1, step):
            request = row["request_template"].replace("@ID@", str(agent)).replace("@ID4@", f"{agent:04}").encode()
            stage.expect(request, frames)
            await play_raw(stage, request, frames[0])
            stage.check()
        return "raw"
    stage.expect(row["request"].encode(), frames, FURTHER.get(row["seq"]))
    by_store = row.get("cluster", False) and await play_store(stage, row)
    if not by_store:
        await play_raw(stage, row["request"].encode(), frames[0])
    stage.check()
    return "store" if by_store else "raw"


@cache
def played(section: str, folder: Path) -> dict[int, str]:
    """How each row of a section was played; all in order, on one store."""

    async def story() -> dict[int, str]:
        stage = Stage(folder)
        done = {}
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(stage.daemon)
            for row in rows():
                if row["section"] == section:
                    try:
                        done[row["seq"]] = await play(stage, row)
                    except (AssertionError, StoreError) as error:
                        error.add_note(f"seq {row['seq']}: {str(row['request'])[:200]}")
                        raise
            await stage.store.close()
            assert len(stage.daemon.connections) <= 1 + sum("frames" in row for row in rows())
        return done

    return asyncio.run(story())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wdb")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_row_of_a_section(section: str, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    done = played(section, folder)
    assert list(done) == [row["seq"] for row in rows() if row["section"] == section]
    told = [record.getMessage() for record in caplog.records if "agent 2 is not sent" in record.getMessage()]
    assert len(told) == (section == "edge")


def test_all_rows_were_played_and_the_clusters_by_the_store(folder: Path) -> None:
    done: dict[int, str] = {}
    for section in SECTIONS:
        done |= played(section, folder)
    assert sorted(done) == list(range(1, 278))
    cluster = {row["seq"] for row in rows() if row.get("cluster")}
    assert cluster - {seq for seq, how in done.items() if how == "store"} == BEYOND_OUR_TYPES
    assert sum(how == "bytes" for how in done.values()) == 9
