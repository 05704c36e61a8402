"""Chunks keep content, order and their bound; the counter of mismatches asks when it should and not before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from tests.support.messages import chunks_of

from outrider.model import GroupAssignment
from outrider.protocol.agents import GROUPS_SET
from outrider.protocol.groups_message import GroupsHash, GroupsWriter, read_groups
from outrider.sync.agent_groups import Agreement, Mismatches

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
ASSIGNMENTS = st.lists(
    st.builds(GroupAssignment, st.integers(1, 2**31 - 1), st.lists(NAMES, max_size=6).map(tuple)), max_size=60
)
HASHES = st.sampled_from([UNSET, None, "0" * 40])


@given(parts=st.lists(ASSIGNMENTS, max_size=5), digest=HASHES, most=st.integers(200, 3000))
def test_chunks_keep_content_and_order_and_their_bound(
    parts: list[list[GroupAssignment]], digest: GroupsHash, most: int
) -> None:
    writer = GroupsWriter(most)
    for part in parts:
        writer.add(part)
    chunks = chunks_of(writer.finish(digest), GROUPS_SET)
    read = [read_groups(chunk.encode()) for chunk in chunks]
    assert [one for chunk in read for one in chunk.assignments] == [one for part in parts for one in part]
    assert [chunk.hash for chunk in read] == [UNSET] * (len(chunks) - 1) + [digest]
    for chunk, content in zip(chunks, read, strict=True):
        assert len(chunk.encode()) <= most or len(content.assignments) == 1


@given(limit=st.integers(1, 6), equal=st.lists(st.booleans(), max_size=200))
def test_everything_is_asked_for_only_after_enough_mismatches_in_a_row(limit: int, equal: list[bool]) -> None:
    counter = Mismatches(lambda: limit)
    row = asked = 0
    for same in equal:
        needed = limit * min(2**asked, 64)
        agreement = counter.compare("a", "a" if same else "b")
        row = 0 if same else row + 1
        assert (agreement is Agreement.EQUAL) == same
        assert (agreement is Agreement.ASK) == (row == needed)
        if same:
            asked = 0
        elif agreement is Agreement.ASK:
            row, asked = 0, asked + 1
