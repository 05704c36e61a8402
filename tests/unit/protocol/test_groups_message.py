"""Messages of groups: bounded chunks, the hash in the last one only, and readers that keep what is good."""

from __future__ import annotations

import json

import pytest
from msgspec import UNSET
from tests.support.messages import chunks_of

from outrider.model import GroupAssignment
from outrider.protocol.agents import CHUNK_BYTES, GROUPS_SET
from outrider.protocol.groups_message import GroupsWriter, read_groups

RECORDED = """{"set_data_command": "global set-agent-groups",
"payload": {"mode": "override", "sync_status": "synced"}, "chunks":
["[{\\"data\\":[{\\"id\\":1,\\"groups\\":[\\"default\\"]}],\\"hash\\":\\"aac8edbccfab5ea7eee53016af08b756a44dc399\\"}]"]}"""
NO_CHUNKS = ["", "[]", "{}", '[{"hash":null}]', '[{"data":7}]', '[{"data":[],"hash":4}]', "\ud800"]


def test_a_message_means_what_the_original_s_means() -> None:
    writer = GroupsWriter()
    writer.add([GroupAssignment(1, ("default",))])
    assert json.loads(writer.finish("aac8edbccfab5ea7eee53016af08b756a44dc399")) == json.loads(RECORDED)


def test_without_assignments_there_is_one_chunk_for_the_hash() -> None:
    assert json.loads(GroupsWriter().finish(None))["chunks"] == ['[{"data":[],"hash":null}]']
    assert json.loads(GroupsWriter().finish())["chunks"] == ['[{"data":[]}]']


def test_50_000_assignments_come_in_chunks_that_a_wazuh_db_takes() -> None:
    writer = GroupsWriter()
    every = [GroupAssignment(number, ("default", f"group{number % 50}")) for number in range(1, 50_001)]
    for start in range(0, len(every), 777):
        writer.add(every[start : start + 777])
    chunks = chunks_of(writer.finish("0" * 40), GROUPS_SET)
    assert max(map(len, chunks)) <= CHUNK_BYTES
    assert len(chunks) < 40
    read = [read_groups(chunk.encode()) for chunk in chunks]
    assert [one for chunk in read for one in chunk.assignments] == every
    assert [chunk.hash for chunk in read] == [UNSET] * (len(read) - 1) + ["0" * 40]
    assert writer.assignments == 50_000


def test_a_bad_assignment_costs_itself_and_nothing_else() -> None:
    rows = [{"id": 1, "groups": ["a"]}, {"id": 0, "groups": []}, {"id": "x"}, 7, {"id": 2, "groups": [None]}]
    read = read_groups(json.dumps([{"data": [*rows, {"id": 3, "groups": []}], "hash": "h"}]).encode())
    assert read.assignments == [GroupAssignment(1, ("a",)), GroupAssignment(3, ())]
    assert read.hash == "h"
    assert len(read.faults) == 4
    assert read.faults[0].startswith('{"id": 0, "groups": []} is no assignment: ')


@pytest.mark.parametrize("chunk", NO_CHUNKS)
def test_what_is_no_chunk_is_refused(chunk: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_groups(chunk.encode())
