"""Settings as a whole: sources, their order, profiles, and all errors at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from outrider.errors import SettingsError
from outrider.settings import Settings

KEY = "Zk3_" * 8


def load(path: Path | None = None, environ: dict[str, str] | None = None, **overrides: Any) -> Settings:
    return Settings.load(path, environ or {}, {name.replace("__", "."): value for name, value in overrides.items()})


def write(folder: Path, text: str) -> Path:
    path = folder / "outrider.toml"
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return path


def errors_of(**overrides: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**overrides)
    return str(caught.value).splitlines()


def test_nothing_set_gives_the_missions_defaults() -> None:
    worker = load().intervals.worker
    assert (worker.sync_integrity, worker.sync_agent_info, worker.timeout_agent_groups) == (300, 60, 30)
    assert (worker.keep_alive, worker.connection_retry) == (60, 10)
    assert (worker.max_failed_keepalive_attempts, worker.agent_groups_mismatch_limit) == (3, 3)
    assert load().node.wire_version == "4.9.2"


def test_the_original_s_profile_gives_its_intervals_and_explicit_values_win(tmp_path: Path) -> None:
    path = write(tmp_path, '[node]\nprofile = "wazuh-4.9"\n[intervals.worker]\nkeep_alive = 7\n')
    settings = load(path)
    worker = settings.intervals.worker
    assert (worker.sync_integrity, worker.sync_agent_info, worker.timeout_agent_groups) == (9, 10, 40)
    assert (worker.keep_alive, worker.connection_retry) == (7, 10)
    assert (worker.max_failed_keepalive_attempts, worker.agent_groups_mismatch_limit) == (2, 5)
    assert settings.tree.follow_links
    assert not load(path, tree__follow_links="false").tree.follow_links


def test_a_profile_may_come_from_any_source() -> None:
    assert load(environ={"OUTRIDER_NODE__PROFILE": "wazuh-4.9"}).intervals.worker.sync_integrity == 9


def test_flags_win_over_variables_and_these_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[node]\nname = "file"\ncluster = "file"\nwire_version = "1"\n')
    environ = {"OUTRIDER_NODE__NAME": "variable", "OUTRIDER_NODE__CLUSTER": "variable"}
    node = load(path, environ, node__name="flag").node
    assert (node.name, node.cluster, node.wire_version) == ("flag", "variable", "1")


def test_every_value_says_where_it_came_from(tmp_path: Path) -> None:
    path = write(tmp_path, '[node]\nprofile = "wazuh-4.9"\n')
    settings = load(path, {"OUTRIDER_LINK__PORT": "2000"}, link__key=KEY)
    origin = {line.key: line.origin for line in settings.describe()}
    assert origin["node.profile"] == "file outrider.toml"
    assert origin["intervals.worker.sync_integrity"] == "profile wazuh-4.9"
    assert origin["link.port"] == "environment OUTRIDER_LINK__PORT"
    assert origin["link.key"] == "flag"
    assert origin["limits.tasks"] == "default"


def test_text_is_read_as_the_key_s_type() -> None:
    settings = load(
        link__nodes="192.0.2.1, 192.0.2.2",
        tree__files='[{folder = "tree/", permissions = 0o644}]',
        tree__excluded_files="",
        limits__tasks="5",
        intervals__worker__keep_alive="0.25",
    )
    assert settings.link.nodes == ("192.0.2.1", "192.0.2.2")
    assert [(row.folder, row.permissions) for row in settings.tree.table()] == [("tree/", 0o644)]
    assert settings.tree.excluded_files == ()
    assert settings.limits.tasks == 5
    assert settings.intervals.worker.keep_alive == 0.25


def test_all_errors_come_at_once_each_with_key_reason_and_example() -> None:
    lines = errors_of(
        link__port="80",
        intervals__worker__keep_alive="-1",
        limits__frame_bytes="1000",
        node__name="two words",
        tree__files=[{"folder": "/etc/"}, {"folder": "queue/"}],
    )
    assert len(lines) == 6
    for key in ("link.port", "intervals.worker.keep_alive", "limits.frame_bytes", "node.name", "tree.files"):
        of_key = [line for line in lines if line.startswith(key)]
        assert of_key, f"nothing about {key}"
        assert all("e.g. " in line for line in of_key)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("node.nam", "node.name"),
        ("sync_integrity", "intervals.worker.sync_integrity"),
        ("worker.keep_alive", "intervals.worker.keep_alive"),
        ("limits.open_file", "limits.open_files"),
    ],
)
def test_an_unknown_key_is_an_error_that_says_what_was_meant(wrong: str, meant: str) -> None:
    (line,) = errors_of(**{wrong: "1"})
    assert wrong in line
    assert f"did you mean {meant}?" in line


def test_a_section_given_as_a_value_is_explained() -> None:
    (line,) = errors_of(intervals="fast")
    assert "is a section" in line


@pytest.mark.parametrize("value", ["nan", "inf", "0", "-0.5", "1e9", "soon", ""])
def test_an_interval_is_a_positive_bounded_number(value: str) -> None:
    (line,) = errors_of(intervals__worker__sync_integrity=value)
    assert line.startswith("intervals.worker.sync_integrity")


@pytest.mark.parametrize("port", ["-1", "1", "1024", "65535", "70000", "http"])
def test_a_port_outside_the_allowed_range_is_refused(port: str) -> None:
    assert errors_of(link__port=port)


@pytest.mark.parametrize("name", ["", "a b", "../../x", "x\0", "n" * 4096, "w\u043erker", ".hidden", "-x", "a/b"])
def test_threat_16_node_names_that_are_not_plain_words_are_refused(name: str) -> None:
    (line,) = errors_of(node__name=name)
    assert line.startswith("node.name")
    assert len(line) < 400


def test_a_variable_that_misses_its_section_is_pointed_out() -> None:
    settings = load(environ={"OUTRIDER_NAME": "w1", "OUTRIDER_UNRELATED": "1"})
    assert settings.warnings == ("OUTRIDER_NAME is not read: did you mean OUTRIDER_NODE__NAME?",)


def test_a_mapping_may_be_nested_or_dotted() -> None:
    settings = Settings.from_mapping({"node": {"name": "a"}, "link.port": 0, "intervals.worker": {"keep_alive": 1}})
    assert (settings.node.name, settings.link.port, settings.intervals.worker.keep_alive) == ("a", 0, 1.0)


@pytest.mark.parametrize("text", ["a\0b", "\udcff"])
def test_text_that_no_path_or_line_can_hold_is_refused(text: str) -> None:
    for key, value in {
        "node.home": text,
        "tree.excluded_files": [text],
        "tree.files": [{"folder": f"{text}/"}],
    }.items():
        (line,) = errors_of(**{key: value})
        assert "a NUL, or bytes that are not UTF-8" in line


@pytest.mark.parametrize("key", ["", " ", "a\nb", "node.\x1b[31m"])
def test_an_error_stays_one_printable_line(key: str) -> None:
    (line,) = errors_of(**{key: "x" * 100_000})
    assert line.isprintable()
    (line,) = errors_of(link__port="x" * 100_000)
    assert len(line) < 400


def test_limits_that_contradict_one_another_are_refused() -> None:
    (line,) = errors_of(limits__string_bytes=2048, limits__strings_total=1024)
    assert line.startswith("limits.string_bytes")
    (line,) = errors_of(intervals__communication__min_zip_size=4096, intervals__communication__max_zip_size=2048)
    assert "above max_zip_size" in line


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("/tmp/", "is absolute"),
        ("tmp", "does not end with a slash"),
        ("tmp/../etc/", "'..'"),
        ("etc/", "overlaps with etc/"),
        ("etc/rules/new/", "overlaps with etc/"),
        ("var/", "overlaps with var/multigroups/"),
        ("queue/", "overlaps with queue/cluster/"),
        ("tmp/.outrider/", "lies in .outrider"),
        ("my files/", "letter that paths"),
        (".tmp/", "letter that paths"),
    ],
)
def test_a_folder_for_files_of_programs_is_nobody_else_s(folder: str, why: str) -> None:
    assert load(local__send_folder="tmp/sent/").local.send_folder == "tmp/sent/"
    (line,) = errors_of(local__send_folder=folder)
    assert line.startswith("local.send_folder")
    assert why in line


def test_by_itself_no_daemon_may_be_asked_and_with_the_profile_those_of_the_original_at_their_sockets() -> None:
    daemons = {
        "authd": "queue/sockets/auth",
        "task-manager": "queue/tasks/task",
        "wazuh-db": "queue/db/wdb",
        "remoted": "queue/sockets/remote",
    }
    given, none = Settings.from_mapping({"node.profile": "wazuh-4.9"}).sendsync, Settings.from_mapping({}).sendsync
    assert {name: str(given.socket(name)) for name in daemons} == daemons
    assert {none.socket(name) for name in daemons} == {None}
    assert given.socket("execd") is None
    assert given.wazuh_db_commands == ("global select-groups",)


@pytest.mark.parametrize("words", ["", " ", " global sql", "global sql ", "global\nsql"])
def test_first_words_of_commands_for_wazuh_db_have_no_blank_at_their_ends(words: str) -> None:
    with pytest.raises(SettingsError, match=r"sendsync\.wazuh_db_commands: .* is no first words of a command"):
        Settings.from_mapping({"sendsync.wazuh_db_commands": ["global select-groups", words]})


def test_a_node_that_lacks_something_says_all_of_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(node__home=str(tmp_path / "none"), link__port="0", node__name="master").require("worker")
    lines = str(caught.value).splitlines()
    assert [line.split(" ")[0].rstrip(":") for line in lines] == [
        "link.key",
        "node.home",
        "link.nodes",
        "link.port",
        "node.name",
    ]


def test_a_master_may_listen_on_any_port(tmp_path: Path) -> None:
    ready = load(node__home=str(tmp_path), link__key=KEY, link__port="0").require("master")
    assert ready.node.type == "master"


def test_owners_are_resolved_and_unknown_ones_refused() -> None:
    assert load().owner is None
    assert load(tree__owner="12:34").owner == (12, 34)
    assert load(tree__owner="root:root").owner == (0, 0)
    for wrong in ("root", "no-such-user-here:0", "0:no-such-group-here", ":0"):
        (line,) = errors_of(tree__owner=wrong)
        assert line.startswith("tree.owner")


def test_the_page_has_a_port_of_its_own_and_names_of_machines() -> None:
    assert not load().http.enabled
    assert load(http__port=80 + 1024).warnings == ()
    for wrong in ({"http__port": 80}, {"http__enabled": True, "http__port": 1516}, {"http__hosts": ["a b"]}):
        (line,) = errors_of(**wrong)
        assert line.startswith("http.")
        assert "e.g." in line


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "node1.example.org"])
def test_a_page_that_others_reach_gives_a_warning_that_says_what_is_shown(address: str) -> None:
    (warning,) = load(http__enabled=True, http__bind_addr=address).warnings
    assert warning.startswith(f'http.bind_addr = "{address}"')
    for exposed in ("names and addresses of all nodes", "texts of errors", "no key"):
        assert exposed in warning
    assert load(http__bind_addr=address).warnings == ()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.8.0.1", "localhost"])
def test_a_page_for_this_machine_alone_gives_none(address: str) -> None:
    assert load(http__enabled=True, http__bind_addr=address).warnings == ()


def test_a_home_folder_that_nobody_has_is_refused() -> None:
    (line,) = errors_of(local__socket="~no-such-user-here/socket")
    assert line.startswith("local.socket")
    assert "knows no home folder for '~no-such-user-here'" in line
