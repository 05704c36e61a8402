"""What two files of a Wazuh node say -> settings of ours, the key by itself, and what has no equivalent."""

from __future__ import annotations

import contextlib
import grp
import pwd
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from outrider.settings.catalogue import CATALOGUE
from outrider.settings.files import FileRow, as_rows
from outrider.settings.profiles import PROFILES
from outrider.wazuh.cluster_json import FromJson
from outrider.wazuh.ossec_conf import ClusterSection, Told

PROFILE: Final = "wazuh-4.9"
USER: Final = "wazuh"
"""The user and the group to whom a Wazuh node's files belong."""
_NAMES: Final = {"name": "node.cluster", "node_name": "node.name"}
_SINGLE: Final = frozenset({*_NAMES, "disabled", "node_type", "key", "port", "bind_addr", "hidden"})
_TYPES: Final = {"master": "master", "worker": "worker", "client": "worker"}
_PLACEHOLDERS: Final = frozenset({"NODE_IP", "MASTER_IP", "MASTER_NODE_IP", "WAZUH_MASTER_ADDRESS"})


class Imported(NamedTuple):
    """Values by dotted name, in the order in which a person reads them; the key is none of them.

    ``origins`` says where each stood; ``lost`` what was there and has no equivalent; ``open`` what the files do not
    say and a person has to.
    """

    values: dict[str, Any]
    key: str
    origins: dict[str, str]
    lost: list[tuple[str, str]]
    open: list[str]


def translate(section: ClusterSection, json: FromJson, home: Path | None) -> Imported:
    """Translate; :class:`ValueError` if the section is none by which a node could go."""
    told = _single(section)
    if (disabled := told.get("disabled")) and _yes(disabled):
        raise ValueError(
            f"line {disabled.line}: <disabled> is yes: this node is in no cluster; name the file of one that is"
        )
    values: dict[str, Any] = {} if home is None else {"node.home": str(home)}
    out = Imported(values, _key(told, section), {}, [], [])
    if home is None:
        out.open.append("node.home is not known: the ossec.conf lies in no folder etc; name it with --home")
    _node(told, section, out)
    _link(section, told, out)
    _beside(out)
    _json(json, out)
    for one in section.values:
        if one.name not in _SINGLE | {"nodes"}:
            out.lost.append((f"<{one.name}>, line {one.line}", "unknown to the cluster protocol"))
    return out


def _single(section: ClusterSection) -> dict[str, Told]:
    found = {}
    for name in _SINGLE:
        several = section.all(name)
        if len(several) > 1:
            lines = " and ".join(str(one.line) for one in several)
            raise ValueError(
                f"<{name}> stands several times in <cluster>, on the lines {lines}: keep the one that is meant"
            )
        if several:
            found[name] = several[0]
    return found


def _yes(told: Told) -> bool:
    if told.text not in {"yes", "no"}:
        raise ValueError(f"line {told.line}: <{told.name}>{told.text[:40]}</{told.name}>: write yes or no")
    return told.text == "yes"


def _key(told: dict[str, Told], section: ClusterSection) -> str:
    key = told.get("key")
    if key is None or not key.text:
        line = key.line if key else section.line
        raise ValueError(f"line {line}: <cluster> has no <key>; `outrider keygen` makes one, for all nodes alike")
    return key.text


def _node(told: dict[str, Told], section: ClusterSection, out: Imported) -> None:
    kind = told.get("node_type")
    if kind is None:
        raise ValueError(
            f"line {section.line}: <cluster> has no <node_type>, and Wazuh takes that for a master: write "
            "<node_type>worker</node_type> or <node_type>master</node_type>"
        )
    if kind.text not in _TYPES:
        raise ValueError(f"line {kind.line}: <node_type>{kind.text[:40]}</node_type>: write master or worker")
    _put(out, "node.type", _TYPES[kind.text], kind)
    for name, key in _NAMES.items():
        if name in told:
            _put(out, key, told[name].text, told[name])
    out.values["node.profile"] = PROFILE
    wire = CATALOGUE["node.wire_version"].default
    out.open.append(
        f"node.wire_version is {wire} unless it is set: it must be the version of the cluster's other nodes"
    )


def _link(section: ClusterSection, told: dict[str, Told], out: Imported) -> None:
    nodes, master = section.all("nodes"), out.values["node.type"] == "master"
    for one in nodes[1:] if not master else [node for node in nodes if node.text not in _PLACEHOLDERS]:
        why = "a master dials nobody" if master else "only the first node is dialled, by Wazuh as well"
        out.lost.append((f"<node>{one.text[:80]}</node>, line {one.line}", why))
    if not master:
        if not nodes or not nodes[0].text or nodes[0].text in _PLACEHOLDERS:
            line = nodes[0].line if nodes else section.line
            raise ValueError(
                f"line {line}: <nodes> names no master: write <node> and the address of the cluster's master"
            )
        _put(out, "link.nodes", [nodes[0].text], nodes[0])
    if port := told.get("port"):
        if not (port.text.isascii() and port.text.isdigit() and len(port.text) <= len("65535")):
            raise ValueError(f"line {port.line}: <port>{port.text[:40]}</port>: write a number, e.g. 1516")
        _put(out, "link.port", int(port.text), port)
    if bind := told.get("bind_addr"):
        if master:
            _put(out, "link.bind_addr", bind.text, bind)
        elif bind.text != CATALOGUE["link.bind_addr"].default:
            out.lost.append((f"<bind_addr>, line {bind.line}", "a worker listens nowhere"))
    if (hidden := told.get("hidden")) and _yes(hidden):
        out.lost.append(
            (f"<hidden>, line {hidden.line}", "where agents learn of their managers, the cluster is not hidden")
        )


def _beside(out: Imported) -> None:
    """What lies beside the node on such a machine: a wazuh-db, and a user of its own."""
    out.values["agents.store"] = "wazuh-db"
    try:
        pwd.getpwnam(USER)
        grp.getgrnam(USER)
    except KeyError:
        out.open.append(
            f"tree.owner and local.owner: this machine has no user {USER}, to whom a Wazuh node's files belong"
        )
    else:
        out.values.update({"tree.owner": f"{USER}:{USER}", "local.owner": f"{USER}:{USER}"})


def _json(json: FromJson, out: Imported) -> None:
    """Only what differs from the profile: what stays is then easily seen."""
    for key, value in json.values.items():
        if _holds_null(value):
            raise ValueError(f"cluster.json: {key} is null, or holds one: write a value, or leave it out")
        if not _as_in_the_profile(key, value):
            out.values[key] = value
            out.origins[key] = "cluster.json"
    out.lost.extend(json.lost)


def _as_in_the_profile(key: str, value: Any) -> bool:
    usual = PROFILES[PROFILE].get(key, CATALOGUE[key].default)
    if key == "tree.files":
        with contextlib.suppress(msgspec.ValidationError):  # what is wrong with a row is for the settings to say
            return set(msgspec.convert(as_rows(value), tuple[FileRow, ...])) == set(usual)
        return False
    if isinstance(usual, tuple):
        return bool(value == list(usual))
    return not isinstance(value, bool) and bool(value == usual)


def _holds_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_null, value.values()))
    return value is None or (isinstance(value, list) and any(map(_holds_null, value)))


def _put(out: Imported, key: str, value: Any, told: Told) -> None:
    out.values[key] = value
    out.origins[key] = f"ossec.conf, line {told.line}"
