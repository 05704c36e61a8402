"""A section and a table become settings; what a person must decide is an error or is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from outrider.wazuh.cluster_json import FromJson
from outrider.wazuh.ossec_conf import read_ossec_conf
from outrider.wazuh.translate import Imported, translate

KEY = "k" * 32
WORKER = {"node_type": "worker", "key": KEY, "nodes": "<node>192.0.2.10</node>"}


def section(**values: str) -> bytes:
    return f"<cluster>{''.join(f'<{name}>{text}</{name}>' for name, text in values.items())}</cluster>".encode()


def imported(values: dict[str, str], json: FromJson | None = None) -> Imported:
    return translate(read_ossec_conf(section(**values)), json or FromJson({}, []), Path("/srv/node"))


def test_a_worker() -> None:
    out = imported(
        WORKER
        | {"name": "c1", "node_name": "w1", "port": "1600", "hidden": "no", "disabled": "no", "bind_addr": "0.0.0.0"}
    )
    assert out.key == KEY
    assert {name: value for name, value in out.values.items() if not name.endswith("owner")} == {
        "node.home": "/srv/node",
        "node.type": "worker",
        "node.cluster": "c1",
        "node.name": "w1",
        "node.profile": "wazuh-4.9",
        "link.nodes": ["192.0.2.10"],
        "link.port": 1600,
        "agents.store": "wazuh-db",
    }
    assert not out.lost
    assert out.origins["link.port"] == "ossec.conf, line 1"


def test_a_master_dials_nobody_and_keeps_its_address() -> None:
    out = imported(
        {"node_type": "master", "key": KEY, "bind_addr": "192.0.2.10", "nodes": "<node>NODE_IP</node><node>m</node>"}
    )
    assert (out.values["link.bind_addr"], out.values["node.type"]) == ("192.0.2.10", "master")
    assert "link.nodes" not in out.values
    assert out.lost == [("<node>m</node>, line 1", "a master dials nobody")]


def test_a_client_is_a_worker() -> None:
    assert imported(WORKER | {"node_type": "client"}).values["node.type"] == "worker"


def test_what_has_no_equivalent_is_named() -> None:
    values = WORKER | {"nodes": "<node>a</node><node>b</node>", "hidden": "yes", "bind_addr": "192.0.2.1", "new": "1"}
    assert [what for what, _ in imported(values).lost] == [
        "<node>b</node>, line 1",
        "<bind_addr>, line 1",
        "<hidden>, line 1",
        "<new>, line 1",
    ]


def test_only_what_differs_from_the_profile_is_written() -> None:
    json = FromJson(
        {
            "intervals.worker.sync_integrity": 9,
            "intervals.worker.keep_alive": 61,
            "tree.excluded_files": ["ar.conf", "ossec.conf"],
            "tree.files": [{"folder": "etc/rules/", "permissions": "0o660"}],
        },
        [("other", "unknown")],
    )
    out = imported(WORKER, json)
    assert out.values["intervals.worker.keep_alive"] == 61
    assert "tree.files" in out.values
    assert not {"intervals.worker.sync_integrity", "tree.excluded_files"} & out.values.keys()
    assert out.lost == [("other", "unknown")]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (WORKER | {"disabled": "yes"}, "<disabled> is yes"),
        (WORKER | {"disabled": "maybe"}, "write yes or no"),
        (WORKER | {"key": ""}, "no <key>"),
        ({"node_type": "worker"}, "no <key>"),
        ({"key": KEY}, "no <node_type>"),
        (WORKER | {"node_type": "boss"}, "write master or worker"),
        (WORKER | {"nodes": "<node>NODE_IP</node>"}, "<nodes> names no master"),
        ({"node_type": "worker", "key": KEY}, "<nodes> names no master"),
        (WORKER | {"port": "many"}, "<port>many</port>: write a number"),
    ],
)
def test_a_section_that_is_no_guide_is_refused(values: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        imported(values)


def test_a_null_is_refused_since_settings_know_none() -> None:
    for value in (None, [1, None], [{"folder": "etc/", "names": [None]}]):
        with pytest.raises(ValueError, match=r"cluster\.json: tree\.files is null"):
            imported(WORKER, FromJson({"tree.files": value}, []))


def test_a_value_that_stands_twice_is_refused() -> None:
    text = b"<cluster><key>a</key>\n<key>b</key></cluster>"
    with pytest.raises(ValueError, match="<key> stands several times in <cluster>, on the lines 1 and 2"):
        translate(read_ossec_conf(text), FromJson({}, []), None)


def test_a_home_that_is_not_known_is_told() -> None:
    out = translate(read_ossec_conf(section(**WORKER)), FromJson({}, []), None)
    assert "node.home" not in out.values
    assert any("--home" in line for line in out.open)
