"""``outrider agents`` and ``outrider groups`` on the store of a home."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.sqlite_store import agent, full_agent, with_store

from outrider.cli import main
from outrider.cli.agent_lines import Import
from outrider.cli.progress import Count
from outrider.client import LocalClient
from outrider.errors import RefusedByPeer
from outrider.model import GroupAssignment
from outrider.protocol.api import Request
from outrider.store.agents import GroupsQuery
from outrider.store.sqlite import SqliteStore


def run(home: Path, *arguments: str | int | Path, text: str | None = None) -> Result:
    words = [*map(str, arguments), "--home", str(home)]
    return CliRunner().invoke(main, words, prog_name="outrider", env={}, input=text)


def told(result: Result) -> str:
    """What a command that worked wrote."""
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def complaint(result: Result) -> str:
    """The one line of a command that failed."""
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("outrider: ")
    return line


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that knows two agents."""

    async def story(store: SqliteStore) -> None:
        await store.put([full_agent(1), agent(22, name="evil\x1b[2J", ip="10.0.0.22")])
        await store.set_groups([GroupAssignment(1, ("web", "default")), GroupAssignment(333, ("web",))])

    with_store(tmp_path, story)
    return tmp_path


def test_agents_are_listed_with_what_matters(home: Path) -> None:
    lines = told(run(home, "agents", "list")).splitlines()
    assert [line.split() for line in lines] == [
        ["001", "agent-0001", "active", "10.1.0.1", "web,default"],
        ["022", "evil\\x1b[2J", "active", "10.0.0.22", "-"],
        ["333", "-", "-", "-", "web"],
    ]


def test_a_listing_as_json_can_be_imported_elsewhere(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    listing = told(run(home, "agents", "list", "--json"))
    assert len(listing.splitlines()) == 3
    other = tmp_path_factory.mktemp("other")
    assert told(run(other, "agents", "import", "-", text=listing)) == "Imported 3 agents.\n"
    assert told(run(other, "agents", "list", "--json")) == listing


def test_one_agent_is_shown_whole(home: Path) -> None:
    shown = json.loads(told(run(home, "agents", "show", 1, "--json")))
    assert shown["groups"] == ["web", "default"]
    assert (shown["info"]["os_name"], shown["info_unsent"], shown["groups_unsent"]) == ("Debian GNU/Linux", True, False)
    lines = dict(line.split(maxsplit=1) for line in told(run(home, "agents", "show", "001")).splitlines())
    assert lines["info.os_name"] == "Debian GNU/Linux"
    assert lines["groups"] == '["web","default"]'
    assert "info.name" not in told(run(home, "agents", "show", 333))


def test_an_agent_is_added_once(tmp_path: Path) -> None:
    assert told(run(tmp_path, "agents", "add", 7, "db", "--ip", "10.0.0.7", "--group", "a", "--group", "b")) == (
        "Added agent 7.\n"
    )
    assert "'no way'" in complaint(run(tmp_path, "agents", "add", 8, "x", "--group", "no way"))
    assert "agent 8 is unknown" in complaint(run(tmp_path, "agents", "show", 8))
    assert "there is an agent 7 already: db" in complaint(run(tmp_path, "agents", "add", 7, "other"))
    shown = json.loads(told(run(tmp_path, "agents", "show", 7, "--json")))
    assert shown["groups"] == ["a", "b"]
    assert shown["info"] == {"id": 7, "name": "db", "ip": "10.0.0.7", "connection_status": "never_connected"}
    assert shown["info_unsent"]
    assert shown["groups_unsent"]


def test_agents_are_removed_by_id(home: Path) -> None:
    assert "agent 5 is unknown" in complaint(run(home, "agents", "remove", 1, 5))
    assert told(run(home, "agents", "remove", 1, 333)) == "Removed 2 agents.\n"
    assert len(told(run(home, "agents", "list")).splitlines()) == 1


def test_groups_are_set_and_to_be_sent(home: Path) -> None:
    assert told(run(home, "agents", "set-groups", 22, "b", "a")) == "Agent 22: b, a\n"
    assert told(run(home, "agents", "set-groups", 22, "b", "--mode", "append")) == "Agent 22: a, b\n"
    assert json.loads(told(run(home, "agents", "set-groups", 22, "a", "--mode", "remove", "--json"))) == {
        "id": 22,
        "groups": ["b"],
    }
    assert told(run(home, "agents", "set-groups", 1)) == "Agent 1: no group\n"
    assert "agent 5 is unknown" in complaint(run(home, "agents", "set-groups", 5, "a"))
    assert "'no way'" in complaint(run(home, "agents", "set-groups", 22, "a", "no way"))
    assert "129 groups are more than the 128" in complaint(run(home, "agents", "set-groups", 22, *range(129)))
    assert json.loads(told(run(home, "agents", "show", 22, "--json")))["groups"] == ["b"]

    async def story(store: SqliteStore) -> list[int]:
        return [each.id for each in (await store.groups(GroupsQuery("sync_status"))).assignments]

    assert with_store(home, story) == [1, 22]


def test_a_wrong_line_ends_an_import_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "agents.jsonl"
    lines = ['{"id":1,"name":"one"}', "", '{"id":2,"groups":["a"]}', '{"id":3,"name":"x","groups":"a"}', '{"id":4}']
    file.write_text("\n".join(lines), "utf-8")
    text = complaint(run(tmp_path, "agents", "import", file))
    assert "line 4: Expected `array | null`, got `str`; imported before it: 2 agents" in text
    assert [line.split()[0] for line in told(run(tmp_path, "agents", "list")).splitlines()] == ["001", "002"]


def test_a_line_with_a_group_that_no_agent_may_have_is_a_wrong_line(tmp_path: Path) -> None:
    lines = ['{"id":1,"name":"one"}', '{"id":2,"name":"two","groups":["no way","a"]}', '{"id":3,"groups":["b"]}']
    text = complaint(run(tmp_path, "agents", "import", "-", text="\n".join(lines)))
    assert "line 2: no group may be called 'no way'" in text
    assert [line.split()[0] for line in told(run(tmp_path, "agents", "list")).splitlines()] == ["001"]


def test_an_import_that_the_store_ends_says_how_far_it_came(tmp_path: Path) -> None:
    """With ``wazuh`` a group must be known before an agent can have it."""
    told(run(tmp_path, "groups", "add", "a"))
    lines = "".join(f'{{"id":{one},"name":"n","groups":["{"b" if one == 2001 else "a"}"]}}\n' for one in range(1, 2501))
    text = complaint(run(tmp_path, "agents", "import", "-", "--set", "agents.unknown=wazuh", text=lines))
    assert "agent 2001: group 'b' is unknown here; imported before it: 2,000 agents" in text


def test_a_line_that_is_nested_too_deep_or_too_long_is_a_wrong_line(tmp_path: Path) -> None:
    for depth, why in ((17, "nested deeper than 16"), (100_000, "nested too deep")):
        line = f'{{"id":1,"name":"a","x":{"[" * depth}{"]" * depth}}}'
        assert f"line 1: {'it is ' if depth > 17 else 'a column is '}{why}" in complaint(
            run(tmp_path, "agents", "import", "-", text=line)
        )
    long = f'{{"id":1,"name":"{"a" * (1 << 20)}"}}'
    assert "line 2: it is longer than 1,048,576 bytes" in complaint(
        run(tmp_path, "agents", "import", "-", text='{"id":2,"name":"b"}\n' + long)
    )


@pytest.mark.parametrize("line", ["{", "[]", '{"id":0,"name":"x"}', '{"name":"x"}', '{"id":1}', '{"id":1,"name":7}'])
def test_what_is_no_agent_is_not_imported(tmp_path: Path, line: str) -> None:
    assert "line 1: " in complaint(run(tmp_path, "agents", "import", "-", text=line))


def test_many_agents_are_imported_in_batches(tmp_path: Path) -> None:
    lines = "".join(f'{{"id":{number},"name":"n","groups":["g{number % 3}"]}}\n' for number in range(1, 2502))
    assert json.loads(told(run(tmp_path, "agents", "import", "-", "--json", text=lines))) == {"imported": 2501}
    assert told(run(tmp_path, "groups", "list")).split() == ["g0", "833", "g1", "834", "g2", "834"]


def test_how_far_an_import_is_may_be_looked_at_while_it_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "agents.jsonl"
    text = "".join(f'{{"id":{number},"name":"n"}}\n' for number in range(1, 1500))
    file.write_text(text, "ascii")
    seen: list[Count] = []

    async def work(store: SqliteStore) -> None:
        with file.open("rb") as opened:
            lines = Import(opened)
            seen.append(lines.count())
            assert await lines.into(store) == 1499
            seen.append(lines.count())
            assert lines.left().startswith("1,499 agents imported, or some more")

    with_store(tmp_path, work)
    assert seen == [(0, len(text), "0 agents"), (len(text), len(text), "1,499 agents")]


def test_a_pipe_does_not_say_how_much_is_to_be_imported() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert Import(file).count() == (0, None, "0 agents")


def test_groups_are_listed_added_and_removed(home: Path) -> None:
    assert told(run(home, "groups", "add", "web", "new")) == "There is web, new now.\n"
    found = json.loads(told(run(home, "groups", "list", "--json")))
    assert found == [{"name": "default", "agents": 1}, {"name": "new", "agents": 0}, {"name": "web", "agents": 2}]
    result = run(home, "groups", "remove", "web", "nope")
    assert (result.exit_code, result.stdout) == (1, "Removed web.\n")
    assert "there is no group nope" in result.stderr
    assert told(run(home, "groups", "list")).split() == ["default", "2", "new", "0"]
    assert "no group may be called 'a,b'" in complaint(run(home, "groups", "add", "a,b"))


def test_a_node_is_told_of_changed_groups_and_of_nothing_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    def request(client: LocalClient, one: Request) -> None:
        assert client.socket.is_relative_to(home)
        asked.append(one)
        if len(asked) == 2:
            raise RefusedByPeer(1000, "a worker has no such call")

    monkeypatch.setattr(LocalClient, "request", request)
    told(run(home, "agents", "list"))
    told(run(home, "agents", "add", 5, "five"))
    told(run(home, "groups", "add", "new"))
    told(run(home, "agents", "remove", 5))
    assert asked == []
    told(run(home, "agents", "set-groups", 22, "a"))
    told(run(home, "agents", "add", 6, "six", "--group", "a"))
    told(run(home, "agents", "import", "-", text='{"id":7,"name":"n","groups":["a"]}'))
    told(run(home, "groups", "remove", "a"))
    assert [(one.call, one.request_type) for one in asked] == [("outrider.send_groups", "local_any")] * 4


def test_a_home_without_agents_is_left_alone(tmp_path: Path) -> None:
    for command in (("agents", "list"), ("agents", "remove", 1), ("groups", "list")):
        assert "agents.db yet: a node or" in complaint(run(tmp_path, *command))
    assert list(tmp_path.iterdir()) == []
    assert "is no folder" in complaint(run(tmp_path / "absent", "agents", "add", 1, "x"))


def test_another_store_is_not_edited_here(tmp_path: Path) -> None:
    result = run(tmp_path, "agents", "list", "--set", "agents.store=wazuh-db")
    assert result.exit_code == 2
    assert 'agents.store = "wazuh-db": these commands serve the embedded store' in result.stderr
