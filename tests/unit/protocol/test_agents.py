"""Agents and groups as text: what is read is what was written, and what we do not know is kept."""

from __future__ import annotations

import json

import pytest
from msgspec import UNSET

from outrider._native import AgentMessage
from outrider.model import AgentInfo, GroupAssignment, Label
from outrider.protocol.agents import (
    AGENT_INFO_SET,
    GROUPS_PAYLOAD,
    GROUPS_SET,
    Result,
    decode_agents,
    decode_groups,
    decode_result,
    decode_sound_agents,
    encode_agents,
    encode_groups,
    encode_message,
)

WEB = AgentInfo(id=7, name="web", connection_status="active", ip="10.0.0.7", labels=(Label(7, '"k"', "v"),))


def test_columns_without_a_value_are_left_out() -> None:
    plain = AgentInfo(id=1, name="a", connection_status="pending", disconnection_time=0)
    assert json.loads(encode_agents([plain])) == [
        {"id": 1, "name": "a", "connection_status": "pending", "disconnection_time": 0}
    ]


def test_a_chunk_reads_as_it_was_written() -> None:
    assert decode_agents(encode_agents([WEB, WEB])) == [WEB, WEB]
    assert decode_agents(b"[]") == []


def test_no_labels_and_unknown_labels_are_two_things() -> None:
    unlabelled = AgentInfo(id=1, name="a", connection_status="active", labels=())
    assert decode_agents(encode_agents([unlabelled]))[0].labels == ()
    assert decode_agents(b'[{"id":1,"name":"a","connection_status":"active"}]')[0].labels is None


def test_columns_that_we_do_not_know_are_kept() -> None:
    row = {"id": 3, "name": "n", "connection_status": "active", "colour": "red", "os_age": 4}
    read = decode_agents(json.dumps([row, {**row, "id": 4}]).encode())
    assert [agent.other for agent in read] == [{"colour": "red", "os_age": 4}] * 2
    assert json.loads(encode_agents(read)) == [row, {**row, "id": 4}]


@pytest.mark.parametrize(
    "chunk",
    [
        b"x",
        b"[1,2]",
        b"{}",
        b'[{"id":1}]',
        b'[{"id":0,"name":"master","connection_status":"active"}]',
        b'[{"id":"1","name":"a","connection_status":"active"}]',
        b'[{"id":1,"name":"a","connection_status":"flying"}]',
        b'[{"id":1,"name":null,"connection_status":"active"}]',
        b'[{"id":1,"name":"\xff","connection_status":"active"}]',
        b"[" * 10_000,
    ],
)
def test_what_is_no_agent_is_refused(chunk: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        decode_agents(chunk)


def test_groups_read_as_they_were_written() -> None:
    data = [GroupAssignment(1, ("default", "web")), GroupAssignment(2, ())]
    assert encode_groups(data[:1], "a" * 40) == b'[{"data":[{"id":1,"groups":["default","web"]}],"hash":"%s"}]' % (
        b"a" * 40
    )
    for digest in ("a" * 40, None, UNSET):
        text = decode_groups(encode_groups(data, digest))
        assert (text.data, text.hash) == (data, digest)


@pytest.mark.parametrize("chunk", [b"[]", b"{}", b'[{"data":1}]', b'[{"data":[{"id":"5","groups":[]}]}]', b"["])
def test_what_is_no_assignment_is_refused(chunk: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_groups(chunk)


def test_a_message_reads_as_it_was_written() -> None:
    chunks = [encode_groups([GroupAssignment(1, ("default",))]), '["\u00e9\\""]'.encode()]
    text = encode_message(GROUPS_SET, GROUPS_PAYLOAD, chunks)
    message = AgentMessage(text)
    assert message.command == GROUPS_SET
    assert [message.chunk(number) for number in range(len(message))] == chunks
    assert json.loads(text)["payload"] == GROUPS_PAYLOAD
    assert len(AgentMessage(encode_message(AGENT_INFO_SET, {}, []))) == 0


def test_the_answer_reads_as_it_was_written() -> None:
    result = Result(3, ["why"], 0.25)
    assert decode_result(result.encode()) == result
    assert decode_result(b'{"updated_chunks": 1, "error_messages": [], "time_spent": 2, "new": 1}').time_spent == 2


def test_a_peer_cannot_hide_a_column_of_ours_among_those_that_we_do_not_know() -> None:
    row = b'{"id":7,"name":"p","connection_status":"active","":{"ip":7},"colour":"red"}'
    (agent,) = decode_agents(b"[%s]" % row)
    assert (agent.ip, agent.other) == (None, {"colour": "red"})
    mine = AgentInfo(id=7, name="p", connection_status="active", ip="10.0.0.7", other={"ip": 7, "colour": "red"})
    assert json.loads(encode_agents([mine]))[0]["ip"] == "10.0.0.7"
    assert decode_agents(encode_agents([mine]))[0].other == {"colour": "red"}


def test_of_very_many_bad_records_only_the_first_are_looked_at() -> None:
    good = b'{"id":7,"name":"p","connection_status":"active"}'
    found = decode_sound_agents(b"[" + good + b",1" * 30_000 + b"]")
    assert [agent.id for agent in found.agents] == [7]
    assert "no more is read" in found.fault


@pytest.mark.parametrize(
    ("agent", "groups"), [(7, "web"), (2**40, ("web",)), (0, ("web",)), (7, (1,)), (7, ["web"]), (True, ("web",))]
)
def test_a_program_s_assignment_is_checked_like_a_peer_s(agent: int, groups: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"a number from 1|a tuple of names"):
        GroupAssignment(agent, groups)
