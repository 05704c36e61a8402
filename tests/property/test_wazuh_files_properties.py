"""Whatever a Wazuh node's files say, it is refused with a reason, or survives into settings that load."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import SettingsError
from outrider.settings.catalogue import CATALOGUE
from outrider.wazuh.cluster_json import read_cluster_json
from outrider.wazuh.ossec_conf import read_ossec_conf
from outrider.wazuh.settings_file import text_of, tried
from outrider.wazuh.translate import translate

KEY = "k" * 32
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)
FOLDERS = st.from_regex(r"etc/[a-z]{1,8}/", fullmatch=True)
ROWS = st.fixed_dictionaries(
    {"permissions": st.sampled_from(["0o640", "0o660", "0o600"])},
    optional={
        "files": st.just(["all"]) | st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=3),
        "recursive": st.booleans(),
        "restart": st.booleans(),
        "extra_valid": st.booleans(),
        "remove_subdirs_if_empty": st.booleans(),
        "source": st.sampled_from(["master", "worker"]),
        "description": st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    },
)
SECONDS = st.integers(1, 86_400) | st.floats(0.001, 86_400)
INTERVALS = dict.fromkeys(
    ("sync_integrity", "sync_agent_info", "keep_alive", "timeout_agent_groups", "connection_retry"), SECONDS
)


@given(NAMES, NAMES, st.integers(1025, 65_534), st.dictionaries(FOLDERS, ROWS, min_size=1, max_size=4), st.data())
def test_values_survive(cluster: str, name: str, port: int, rows: dict[str, Any], data: st.DataObject) -> None:
    intervals = data.draw(st.fixed_dictionaries({}, optional=INTERVALS))
    conf = (
        f"<ossec_config><cluster><name>{cluster}</name><node_name>{name}</node_name><node_type>worker</node_type>"
        f"<key>{KEY}</key><port>{port}</port><nodes><node>192.0.2.10</node></nodes></cluster></ossec_config>"
    )
    table = json.dumps({"intervals": {"worker": intervals}, "files": rows}).encode()
    imported = translate(read_ossec_conf(conf.encode()), read_cluster_json(table), Path("/srv/node"))
    settings = tried(text_of(imported, "a.key"), imported, "a.key")
    assert (settings.node.cluster, settings.node.name, settings.link.port) == (cluster, name, port)
    assert settings.link.keys == [KEY.encode()]
    for interval, seconds in intervals.items():
        assert getattr(settings.intervals.worker, interval) == seconds
    assert {row.folder: f"{row.permissions:#o}" for row in settings.tree.files} == {
        folder: row["permissions"] for folder, row in rows.items()
    }
    for row in settings.tree.files:
        for cell, value in rows[row.folder].items():
            if cell not in {"permissions", "files"}:
                assert getattr(row, cell) == value


TEXTS = st.text(max_size=20)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
KNOWN = [name.split(".")[1:] for name in CATALOGUE if name.startswith("intervals.")]


@given(
    st.dictionaries(st.sampled_from(["name", "node_name", "port", "bind_addr", "hidden", "new", "nodes"]), TEXTS),
    st.sampled_from(KNOWN),
    ANY_JSON,
    st.dictionaries(TEXTS, ANY_JSON, max_size=2) | ANY_JSON,
)
def test_nothing_but_a_clear_refusal_comes_of_any_content(
    values: dict[str, str], interval: list[str], any_interval: Any, any_files: Any
) -> None:
    inside = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in values.items())
    conf = f"<cluster><node_type>master</node_type><key>{KEY}</key>{inside}</cluster>"
    group, name = interval
    table = json.dumps({"intervals": {group: {name: any_interval}}, "files": any_files})
    with contextlib.suppress(ValueError):
        section = read_ossec_conf(conf.encode("utf-8", "surrogatepass"))
        imported = translate(section, read_cluster_json(table.encode("utf-8", "surrogatepass")), None)
        try:
            tried(text_of(imported, "a.key"), imported, "a.key")
        except SettingsError as error:
            assert "not TOML" not in str(error)  # noqa: PT017  (that it is raised is allowed, not demanded)


@given(st.binary(max_size=200) | TEXTS.map(lambda text: f"<cluster>{text}</cluster>".encode("utf-8", "replace")))
def test_no_bytes_bring_another_error(content: bytes) -> None:
    for read in (read_ossec_conf, read_cluster_json):
        with contextlib.suppress(ValueError):
            read(content)
