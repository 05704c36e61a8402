"""The embedded store does what the port promises (specification 6.3, 6.4)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.sqlite_store import NOW, agent, full_agent, with_store

from outrider.errors import RecordsRefused, UnknownAgents
from outrider.model import AgentInfo, GroupAssignment, Label
from outrider.store.agents import GroupsQuery, Numbers, RegisteredAgent, TellsOfGroups
from outrider.store.sqlite import SqliteStore
from outrider.store.sqlite.parts import Limits

EVERY = GroupsQuery("all")
UNSENT = GroupsQuery("sync_status")


async def _groups(store: SqliteStore) -> dict[int, tuple[str, ...]]:
    return {each.id: each.groups for each in (await store.groups(EVERY)).assignments}


async def _known(store: SqliteStore) -> list[AgentInfo | None]:
    return [each.info for each in (await store.agents()).agents]


def test_what_is_put_is_handed_out_until_it_is_taken(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        put = [full_agent(1), agent(7, ip=None), full_agent(3, labels=None)]
        await store.put(put)
        for _ in range(2):
            part = await store.changed_agents()
            assert part.agents == [put[0], put[2], put[1]]
            assert not part.more
        await store.taken(part.agents)
        assert (await store.changed_agents()).agents == []

    with_store(tmp_path, story)


def test_what_is_kept_outlives_the_store(tmp_path: Path) -> None:
    async def write(store: SqliteStore) -> None:
        await store.put([full_agent(1)])
        await store.set_groups([GroupAssignment(1, ("a", "b"))])

    async def read(store: SqliteStore) -> None:
        assert (await store.changed_agents()).agents == [full_agent(1)]
        assert await _groups(store) == {1: ("a", "b")}

    with_store(tmp_path, write)
    with_store(tmp_path, read)


def test_an_agent_that_changes_while_it_is_taken_stays_changed(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.put([agent(1), agent(2)])
        part = await store.changed_agents()
        await store.put([agent(2, ip="10.0.0.2")])
        await store.taken(part.agents)
        assert (await store.changed_agents()).agents == [agent(2, ip="10.0.0.2")]

    with_store(tmp_path, story)


def test_an_agent_that_is_counted_as_changed_while_it_is_taken_stays_changed(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.put([agent(1)])
        part = await store.changed_agents()
        await store.send_all_again()
        await store.taken(part.agents)
        assert (await store.changed_agents()).agents == [agent(1)]

    with_store(tmp_path, story)


def test_agents_of_which_only_client_keys_tells_are_no_news_for_the_master(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.register([RegisteredAgent(1, "from-keys", "any"), RegisteredAgent(2, "agent-0002", "any")])
        await store.store_agents([agent(2)])
        await store.send_all_again()
        assert (await store.changed_agents()).agents == [agent(2)]

    with_store(tmp_path, story)


def test_only_what_was_handed_out_can_be_taken(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.put([agent(1), agent(2)])
        await store.taken([agent(1)])
        await store.changed_agents()
        await store.taken([agent(2, ip="another"), agent(9)])
        assert (await store.changed_agents()).agents == [agent(1), agent(2)]

    with_store(tmp_path, story)


def test_parts_are_bounded_and_come_by_ascending_id(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.put([agent(number) for number in (9, 2, 5, 4, 7)])
        taken = []
        for more in (True, True, False):
            part = await store.changed_agents()
            assert part.more is more
            await store.taken(part.agents)
            taken += [each.id for each in part.agents]
        assert taken == [2, 4, 5, 7, 9]

    with_store(tmp_path, story, limits=Limits(rows=2))


def test_an_agent_larger_than_a_part_comes_alone(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        large = agent(2, os_uname="x" * 5000)
        await store.put([agent(1), large, agent(3)])
        sizes = []
        while (part := await store.changed_agents()).agents:
            await store.taken(part.agents)
            sizes.append([each.id for each in part.agents])
        assert sizes == [[1, 2], [3]]

    with_store(tmp_path, story, limits=Limits(bytes=1000))


def test_what_another_node_says_counts_as_sent(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.put([agent(1), agent(2)])
        await store.store_agents([full_agent(1), full_agent(3)])
        assert await _known(store) == [full_agent(1), agent(2), full_agent(3)]
        assert (await store.changed_agents()).agents == [agent(2)]

    with_store(tmp_path, story)


def test_labels_stay_where_nobody_mentions_them_and_go_where_there_are_none(tmp_path: Path) -> None:
    labels = (Label(1, '"k"', "v1"),)

    async def story(store: SqliteStore) -> None:
        await store.store_agents([agent(1, labels=labels)])
        await store.store_agents([agent(1, ip="10.0.0.1")])
        assert await _known(store) == [agent(1, ip="10.0.0.1", labels=labels)]
        await store.store_agents([agent(1, labels=())])
        assert await _known(store) == [agent(1, labels=())]

    with_store(tmp_path, story)


def test_a_label_belongs_to_the_agent_that_it_names(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.store_agents([agent(1, labels=(Label(1, "a", "old"), Label(1, "b", "1"))), agent(2)])
        await store.store_agents([agent(2, labels=(Label(2, "c", "2"), Label(1, "a", "new")))])
        ours = (Label(1, "b", "1"), Label(1, "a", "new"))
        assert await _known(store) == [agent(1, labels=ours), agent(2, labels=(Label(2, "c", "2"),))]
        with pytest.raises(UnknownAgents, match="agent 9"):
            await store.store_agents([agent(2, labels=(Label(9, "a", "x"),))])
        assert (await _known(store))[1] == agent(2, labels=())

    with_store(tmp_path, story)


def test_columns_that_this_version_does_not_know_are_kept(tmp_path: Path) -> None:
    strange = agent(1, other={"os_family": "linux", "score": 1.5, "nested": {"a": [1, None]}}, labels=())

    async def story(store: SqliteStore) -> None:
        await store.put([strange, agent(2)])
        assert (await store.changed_agents()).agents == [strange, agent(2)]

    with_store(tmp_path, story)


def test_unknown_agents_are_left_out_where_the_settings_say_so(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.register([RegisteredAgent(1, "one", "any")])
        await store.store_agents([agent(1), agent(2)])
        with pytest.raises(UnknownAgents, match=r"unknown here.*: agent 3; agent 4"):
            await store.store_agents([full_agent(3), full_agent(4), agent(5, labels=()), agent(1, ip="10.0.0.1")])
        assert await _known(store) == [agent(1, ip="10.0.0.1")]

    with_store(tmp_path, story, unknown="wazuh")


def test_a_batch_that_cannot_be_kept_changes_nothing(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.put([agent(1)])
        with pytest.raises(RecordsRefused, match="agent 3 cannot be kept"):
            await store.put([agent(1, ip="10.0.0.1"), agent(3, os_name="\ud800")])
        for wrong in (agent(-3), agent(3, name=None), agent(3, status_code="1"), agent(3, labels=(1,))):
            with pytest.raises(RecordsRefused, match=f"agent {wrong.id} cannot be kept: Expected"):
                await store.put([agent(1, ip="10.0.0.1"), wrong])
        assert await _known(store) == [agent(1)]

    with_store(tmp_path, story)


def test_registered_agents_are_known_and_what_was_known_stays(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.put([full_agent(1), agent(2)])
        await store.set_groups([GroupAssignment(3, ("a",))])
        await store.register([RegisteredAgent(1, "renamed", "10.0.0.0/8"), RegisteredAgent(3, "three", "any")])
        three = agent(3, name="three", connection_status="never_connected")
        assert await _known(store) == [full_agent(1, name="renamed"), agent(2), three]
        assert [each.ip for each in (await store.agents()).agents] == ["10.0.0.0/8", None, "any"]
        assert await _groups(store) == {1: (), 2: (), 3: ("a",)}
        assert [each.id for each in (await store.changed_agents()).agents] == [1, 2]

    with_store(tmp_path, story)


def test_removed_agents_leave_nothing_behind(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.put([agent(1), agent(2)])
        await store.set_groups([GroupAssignment(1, ("a",)), GroupAssignment(2, ("a",))], status="syncreq")
        assert await store.remove([1, 5]) == 1
        assert (await store.changed_agents()).agents == [agent(2)]
        assert [each.id for each in (await store.groups(UNSENT)).assignments] == [2]
        assert [each.agents for each in await store.all_groups()] == [1]
        assert await store.agent(1) is None

    with_store(tmp_path, story)


def test_groups_are_handed_out_by_what_is_asked(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.put([agent(number) for number in range(1, 6)])
        await store.set_groups([GroupAssignment(2, ("a",)), GroupAssignment(4, ("b", "a"))], status="syncreq")
        assert (await store.groups(GroupsQuery())).assignments == []
        part = await store.groups(GroupsQuery("all", after=3))
        assert part.assignments == [GroupAssignment(4, ("b", "a")), GroupAssignment(5, ())]
        for _ in range(2):  # looking is not taking
            assert [each.id for each in (await store.groups(UNSENT)).assignments] == [2, 4]
        assert [each.id for each in (await store.groups(UNSENT._replace(set_synced=True))).assignments] == [2, 4]
        assert (await store.groups(UNSENT)).assignments == []

    with_store(tmp_path, story)


def test_groups_come_in_parts_and_the_hash_with_the_last(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.set_groups([GroupAssignment(number, ("default",)) for number in range(1, 603)], status="syncreq")
        query = GroupsQuery("sync_status", set_synced=True, with_hash=True)
        found = []
        while True:
            part = await store.groups(query)
            found += [each.id for each in part.assignments]
            if not part.more:
                break
            assert part.hash is None
        assert found == list(range(1, 603))
        assert part.hash == "1d65ed9f00c52db70648a2d1671d4a449fd54953"  # specification 8.12

    with_store(tmp_path, story, limits=Limits(rows=100))


def test_there_is_no_hash_without_groups(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.set_groups([GroupAssignment(1, ())])
        assert (await store.groups(GroupsQuery(with_hash=True))).hash is None

    with_store(tmp_path, story)


def test_young_agents_are_left_out_and_stay_to_be_sent(tmp_path: Path) -> None:
    clock = [NOW]

    async def story(store: SqliteStore) -> None:
        await store.set_groups([GroupAssignment(1, ("a",))], status="syncreq")
        clock[0] += 10
        await store.set_groups([GroupAssignment(2, ("a",))], status="syncreq")
        query = GroupsQuery("sync_status", set_synced=True, registered_before_s=0)
        assert [each.id for each in (await store.groups(query)).assignments] == [1]
        clock[0] += 1
        assert [each.id for each in (await store.groups(query)).assignments] == [2]

    with_store(tmp_path, story, wall=lambda: clock[0])


def test_a_wrong_hash_is_found_and_computed_again(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.set_groups([GroupAssignment(1, ("default",)), GroupAssignment(2, ())])
        right = (await store.groups(GroupsQuery(with_hash=True))).hash
        await store._database.write(lambda db: db.execute("UPDATE assignment SET hash = 'ffffffff'"))
        assert (await store.groups(GroupsQuery(with_hash=True))).hash != right
        await store.recalculate_hashes()
        assert (await store.groups(GroupsQuery(with_hash=True))).hash == right
        assert right == "aac8edbccfab5ea7eee53016af08b756a44dc399"  # specification 6.4

    with_store(tmp_path, story)


def test_everything_that_can_be_assigned_is_and_the_rest_is_named(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.register([RegisteredAgent(number, "x", "any") for number in (4, 5, 6)])
        await store.add_groups(["a", "b"])
        await store.set_groups([GroupAssignment(5, ("a",))])
        batch = [(4, ("a",)), (5, ("nope", "b")), (9999, ("a",)), (6, ("no such!",))]
        with pytest.raises(RecordsRefused) as refused:
            await store.set_groups([GroupAssignment(*each) for each in batch])
        for text in (
            "agent 5: group 'nope' is unknown",
            "agent 9999 is unknown",
            "agent 6: group 'no such!' has a name",
        ):
            assert text in str(refused.value)
        assert await _groups(store) == {4: ("a",), 5: ("b",), 6: ()}

    with_store(tmp_path, story, unknown="wazuh")


def test_a_batch_with_thousands_of_refusals_has_a_short_text(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        with pytest.raises(RecordsRefused, match="; and 2980 more") as refused:
            await store.set_groups([GroupAssignment(number, ()) for number in range(1, 3001)])
        assert len(str(refused.value)) < 1000

    with_store(tmp_path, story, unknown="wazuh")


def test_an_agent_may_come_twice_in_a_batch(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.set_groups([GroupAssignment(1, ("a",))])
        await store.set_groups([GroupAssignment(1, ("b",)), GroupAssignment(1, ("a",))], "append")
        assert await _groups(store) == {1: ("b", "a")}
        await store.set_groups([GroupAssignment(1, ("a", "b")), GroupAssignment(1, ("c",))], "remove")
        assert await _groups(store) == {1: ("default",)}

    with_store(tmp_path, story)


def test_a_removed_group_leaves_its_agents_which_are_sent(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await store.set_groups(
            [GroupAssignment(1, ("a", "b")), GroupAssignment(2, ("a",)), GroupAssignment(3, ("aa",))]
        )
        assert await store.remove_group("a")
        assert not await store.remove_group("a")
        assert await _groups(store) == {1: ("b",), 2: ("default",), 3: ("aa",)}
        assert [each.id for each in (await store.groups(UNSENT)).assignments] == [1, 2]
        assert await store.all_groups() == [("aa", 1), ("b", 1), ("default", 1)]
        assert await store.remove_group("default")
        assert (await _groups(store))[2] == ()

    with_store(tmp_path, story)


def test_a_group_with_a_name_that_travels_nowhere_is_not_made(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        with pytest.raises(RecordsRefused, match="no group may be called 'a,b'"):
            await store.add_groups(["fine", "a,b"])
        assert await store.all_groups() == []

    with_store(tmp_path, story)


def test_active_agents_are_counted_by_their_node(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        assert await store.active_by_node() == {}
        away = agent(4, connection_status="disconnected", node_name="w1")
        await store.put([agent(1, connection_status="active", node_name="w1"), away])
        await store.put([agent(number, connection_status="active", node_name="w2") for number in (2, 3)])
        await store.put([agent(5, connection_status="active", node_name=None)])
        await store.set_groups([GroupAssignment(9, ("only", "groups"))])
        assert await store.active_by_node() == {"w1": 1, "w2": 2}

    with_store(tmp_path, story)


def test_who_listens_hears_of_assignments_that_are_still_to_be_sent_and_of_no_others(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        assert isinstance(store, TellsOfGroups)
        heard: list[int] = []
        store.when_groups_change(lambda: heard.append(1))
        await store.put([agent(1)])
        await store.set_groups([GroupAssignment(1, ("web",))])
        assert heard == [], "what a master sent is not sent on"
        await store.set_groups([GroupAssignment(1, ("web", "db"))], "override", "syncreq")
        assert len(heard) == 1
        with pytest.raises(RecordsRefused):
            await store.set_groups([GroupAssignment(1, ("no/name",))], "append", "syncreq")
        assert len(heard) == 2, "the others of a refused batch are kept"
        assert not await store.remove_group("none")
        assert await store.remove_group("web")
        assert len(heard) == 3

    with_store(tmp_path, story)


def test_agents_are_counted_by_their_status_and_groups_at_all(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        assert await store.numbers() == Numbers({}, 0)
        await store.put([agent(1), agent(2), agent(3, connection_status="disconnected")])
        await store.register([RegisteredAgent(4, "new", "any")])
        await store.add_groups(["web", "db"])
        assert await store.numbers() == Numbers({"active": 2, "disconnected": 1, "never_connected": 1}, 2)

    with_store(tmp_path, story)
