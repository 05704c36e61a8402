"""What types cannot say: values that must fit together, and this machine.

Each check yields texts that name the key, what is wrong and an example.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from outrider.codes import Code
from outrider.errors import Line
from outrider.settings.files import faults, folder_fault
from outrider.settings.sections import Http, Intervals, Limits, Link, Local, Node, Sendsync, Tree

# Ports up to this one belong to the system (specification 5.13).
LAST_SYSTEM_PORT = 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
SHOWN = 80
_SENT = re.compile(r"([A-Za-z0-9_\-+@=][A-Za-z0-9_.\-+@=]*/)+")
PLACEHOLDERS = ("NODE_IP", "0.0.0.0", "::", "127.0.1.1")  # noqa: S104


def check_node(node: Node) -> Iterator[str]:
    """Names travel in a line of four words and become folder names: they must be plain words."""
    for key, value, example in (
        ("name", node.name, "worker1"),
        ("cluster", node.cluster, "wazuh"),
        ("wire_version", node.wire_version, "4.9.2"),
    ):
        if not NAME.fullmatch(value):
            yield (
                f"node.{key} = {value[:80]!r}: use 1 to 64 letters a-z, digits, '.', '_' or '-', "
                f'the first a letter or digit; e.g. node.{key} = "{example}"'
            )


def check_link(link: Link) -> Iterator[str]:
    """The port's range and the addresses."""
    if 0 < link.port <= LAST_SYSTEM_PORT:
        yield f"link.port = {link.port}: the port must lie above {LAST_SYSTEM_PORT}; e.g. link.port = 1516"
    if not NAME.fullmatch(link.key_credential):
        yield (
            f"link.key_credential = {link.key_credential[:SHOWN]!r}: it is the name of a file in the folder that "
            'systemd makes, e.g. link.key_credential = "outrider.key"'
        )
    for address in link.nodes:
        if address in PLACEHOLDERS or not re.fullmatch(r"[^\s/\[\]]{1,253}", address):
            yield f'link.nodes: {address!r} is no address of a master; e.g. link.nodes = ["192.0.2.10"]'


def check_tls(link: Link) -> Iterator[str]:
    """The base protocol knows no TLS."""
    if link.tls == "required" and link.require == "base":
        yield 'link.tls = "required": the base protocol has no TLS; e.g. link.require = "extended"'


def check_intervals(intervals: Intervals) -> Iterator[str]:
    """Limits in their order."""
    talk = intervals.communication
    if talk.min_zip_size > talk.max_zip_size:
        yield (
            f"intervals.communication.min_zip_size = {talk.min_zip_size}: it is above max_zip_size = "
            f"{talk.max_zip_size}; e.g. intervals.communication.min_zip_size = 31457280"
        )


def check_tree(tree: Tree) -> Iterator[str]:
    """The files table, the names that never travel, and the owner."""
    for fault in faults(tree.files):
        yield f'tree.files: {fault}; e.g. tree.files = [{{folder = "etc/rules/", permissions = 0o660}}]'
    if any(not name or "/" in name for name in tree.excluded_files):
        yield 'tree.excluded_files: use base names without a slash; e.g. tree.excluded_files = ["ar.conf"]'
    if any(not ending or "/" in ending for ending in tree.excluded_extensions):
        yield 'tree.excluded_extensions: an empty ending excludes every file; e.g. tree.excluded_extensions = [".tmp"]'
    try:
        owner_ids(tree.owner)
    except ValueError as error:
        yield f'tree.owner = {tree.owner!r}: {error}; e.g. tree.owner = "wazuh:wazuh" or "998:998"'


def check_local(local: Local, tree: Tree) -> Iterator[str]:
    """The owner of the socket, and a folder for files of programs that is nobody else's."""
    try:
        owner_ids(local.owner)
    except ValueError as error:
        yield f'local.owner = {local.owner!r}: {error}; e.g. local.owner = "root:wazuh" or "0:998"'
    if fault := local.send_folder and (folder_fault(local.send_folder) or _unfit(local.send_folder, tree)):
        yield f'local.send_folder = {local.send_folder[:SHOWN]!r}: it {fault}; e.g. local.send_folder = "tmp/"'


def _unfit(folder: str, tree: Tree) -> str | None:
    """Why a folder cannot take files of other nodes: what they write in the tree would travel on to all."""
    if not _SENT.fullmatch(folder):
        return "holds a letter that paths of sent files may not have: use letters, digits and . _ - + @ ="
    rows = [row.folder for row in tree.files if row.folder.startswith(folder) or folder.startswith(row.folder)]
    return f"overlaps with {rows[0]}, a folder of tree.files" if rows else None


def check_sendsync(sendsync: Sendsync) -> Iterator[str]:
    """First words of commands: a blank at an end would let something else through than is meant, or nothing."""
    for words in sendsync.wazuh_db_commands:
        if not words or words != words.strip() or not words.isprintable():
            yield (
                f"sendsync.wazuh_db_commands: {words[:SHOWN]!r} is no first words of a command: no blank at its ends, "
                'no line ends; e.g. sendsync.wazuh_db_commands = ["global select-groups"]'
            )


def check_http(http: Http, link: Link) -> Iterator[str]:
    """Its port, which is none of the system's nor the cluster's, and the names it answers to."""
    if 0 < http.port <= LAST_SYSTEM_PORT:
        yield f"http.port = {http.port}: the port must lie above {LAST_SYSTEM_PORT}; e.g. http.port = 1517"
    if http.enabled and http.port == link.port != 0:
        yield f"http.port = {http.port}: that is link.port; each needs one of its own, e.g. http.port = {link.port + 1}"
    for host in http.hosts:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", host):
            yield f'http.hosts: {host[:SHOWN]!r} is no name of a machine; e.g. http.hosts = ["node1.example.org"]'


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def check_limits(limits: Limits) -> Iterator[str]:
    """A part is never allowed to be larger than its whole."""
    for part, whole in (
        ("unknown_frame_bytes", "frame_bytes"),
        ("string_bytes", "strings_total"),
        ("unpacked_file_bytes", "unpacked_total_bytes"),
        ("connections_per_address", "connections"),
        ("request_bytes", "requests_bytes_per_peer"),
        ("requests_running_per_peer", "requests_running"),
    ):
        small, large = getattr(limits, part), getattr(limits, whole)
        if small > large:
            yield f"limits.{part} = {small}: it is above limits.{whole} = {large}; e.g. limits.{part} = {large}"


def check_role(node: Node, link: Link, *, home_is_set: bool) -> Iterator[Line]:
    """What a node needs before it can take its role. Its home must be meant: it would change files there."""
    if link.lacks_key:
        text = "link.key: a node needs the cluster's key; `outrider keygen` makes one, for link.key or a link.key_file"
        yield Line(text, Code.NO_KEY)
    if fault := _home_fault(node, home_is_set=home_is_set):
        yield Line(fault, Code.HOME)
    if node.type == "worker":
        if not link.nodes:
            text = 'link.nodes: a worker needs the address of its master; e.g. link.nodes = ["192.0.2.10"]'
            yield Line(text, Code.SETTING_MISSING)
        if link.port == 0:
            yield Line("link.port = 0: only a master can take any port; e.g. link.port = 1516", Code.VALUES_MISFIT)
        if node.name == "master":
            text = 'node.name = "master": the protocol keeps this name for the master; e.g. node.name = "worker1"'
            yield Line(text, Code.VALUES_MISFIT)


def _home_fault(node: Node, *, home_is_set: bool) -> str | None:
    if not home_is_set:
        return 'node.home: a node needs its folder; e.g. --home /var/ossec, or node.home = "/var/ossec"'
    if not node.home.is_dir():
        return f'node.home = "{node.home}": there is no such folder; make it, or set e.g. node.home = "/srv/node"'
    if not os.access(node.home, os.R_OK | os.W_OK | os.X_OK):
        return f'node.home = "{node.home}": this process may not read and write there; change its owner or mode'
    return None


def warn(link: Link, tree: Tree, http: Http) -> Iterator[str]:
    """What works, but perhaps not as meant."""
    if http.enabled and not is_loopback(http.bind_addr):
        yield (
            f'http.bind_addr = "{http.bind_addr}": whoever reaches port {http.port} there reads, unencrypted and '
            "unasked, the names and addresses of all nodes, where each stands, counts of agents, and the texts of "
            "errors; no key, no file's content and no way to change anything. Keep it behind a firewall or a proxy "
            'that asks who it is, or set http.bind_addr = "127.0.0.1"'
        )
    if link.key is not None and (weakness := link.key.weakness):
        yield f"link.key: {weakness}"
    if len(link.nodes) > 1:
        yield f"link.nodes: only the first of {len(link.nodes)} addresses is used, {link.nodes[0]}"
    if (ids := owner_ids(tree.owner)) and os.geteuid() != 0:
        groups = {os.getegid(), *os.getgroups()}
        if ids[0] != os.geteuid() or ids[1] not in groups:
            yield f"tree.owner = {tree.owner!r}: this process is not root and may not be allowed to give files away"


def owner_ids(owner: str) -> tuple[int, int] | None:
    """User and group id of ``user:group``, by name or number; ``None`` if empty, :class:`ValueError` if unknown."""
    if not owner:
        return None
    user, colon, group = owner.partition(":")
    if not (user and colon and group):
        raise ValueError("write both, user and group, with a colon between them")
    try:
        uid = int(user) if user.isascii() and user.isdigit() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueError(f"this machine knows no user {user!r}") from None
    try:
        gid = int(group) if group.isascii() and group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f"this machine knows no group {group!r}") from None
    return uid, gid


def others_may_read(path: Path) -> bool:
    """Whether every user of this machine may read the file."""
    return bool(path.stat().st_mode & stat.S_IROTH)
