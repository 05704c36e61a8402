"""Every setting: its name, type, default, bounds, meaning and an example, in one place.

The sections are plain frozen values. The catalogue, the validation, the variables of the
environment and ``docs/settings.md`` all follow from the types here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from outrider.settings.files import DEFAULT_EXCLUDED_EXTENSIONS, DEFAULT_EXCLUDED_FILES, DEFAULT_FILES, FileRow
from outrider.settings.key import ClusterKey

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
DAY_S = 86_400.0
# A message of 5 MiB leaves undivided; sealed, with its header, it is this long (specification 1.4).
LARGEST_FRAME = 6_990_624


def _seconds(meaning: str, *, example: float = 60, most: float = DAY_S) -> Meta:
    return Meta(gt=0, le=most, description=f"{meaning}, seconds", examples=[example])


def _count(meaning: str, *, least: int = 1, most: int, example: int) -> Meta:
    return Meta(ge=least, le=most, description=meaning, examples=[example])


def _bytes(meaning: str, *, least: int = KIB, most: int = 1024 * GIB, example: int) -> Meta:
    return Meta(ge=least, le=most, description=f"{meaning}, bytes", examples=[example])


def _says(meaning: str, example: Any) -> Meta:
    return Meta(description=meaning, examples=[example])


class Section(Struct, frozen=True, kw_only=True):
    """A group of settings under one dotted name."""


class Node(Section, frozen=True, kw_only=True):
    """Who this node is."""

    home: Annotated[
        Path, _says("folder that is kept in step; a node must be told, scan takes the current one", "/srv/node")
    ] = Path()
    name: Annotated[str, _says("name of this node, unique in the cluster", "worker1")] = "node01"
    cluster: Annotated[str, _says("name of the cluster, equal on all nodes", "wazuh")] = "wazuh"
    type: Annotated[Literal["worker", "master"], _says("role; the command sets it", "worker")] = "worker"
    wire_version: Annotated[str, _says("version that a worker names in hello, equal on both ends", "4.9.2")] = "4.9.2"
    profile: Annotated[
        Literal["default", "wazuh-4.9"],
        _says("set of defaults; wazuh-4.9 has the original's intervals, links and daemons", "wazuh-4.9"),
    ] = "default"


class Link(Section, frozen=True, kw_only=True):
    """How nodes reach and trust one another."""

    nodes: Annotated[tuple[str, ...], _says("addresses of the master; the first is used", ["192.0.2.10"])] = ()
    port: Annotated[
        int, Meta(ge=0, le=65_534, description="TCP port of the master; 0 lets a master take any", examples=[1516])
    ] = 1516
    bind_addr: Annotated[str, _says("address that a master listens on; :: for IPv6 as well", "0.0.0.0")] = "0.0.0.0"  # noqa: S104
    key: Annotated[ClusterKey | None, _says("cluster key of 32 word characters", "made by: outrider keygen")] = None
    key_file: Annotated[
        Path | None, _says("file with the key on its first line, previous keys on further ones", "/etc/outrider/key")
    ] = None
    key_credential: Annotated[
        str, _says("credential of systemd that holds the key where neither is set, as a key file does", "outrider.key")
    ] = "outrider.key"
    key_window: Annotated[
        float,
        Meta(
            ge=0,
            le=365 * DAY_S,
            description="time for which a key that was rotated out still opens, seconds",
            examples=[86_400],
        ),
    ] = DAY_S
    previous_keys: Annotated[
        tuple[ClusterKey, ...], _says("older keys that still open what a peer sealed", "keys that were replaced")
    ] = ()
    token_age_s: Annotated[
        float,
        Meta(ge=0, le=DAY_S, description="oldest sealed message that is opened, seconds; 0: any age", examples=[300]),
    ] = 0.0
    window: Annotated[
        int, _count("parts of a file of 256 KiB that are under way at once, at most; see below", most=64, example=16)
    ] = 16

    require: Annotated[
        Literal["any", "base", "extended"],
        _says("protocol of links: extended with peers that speak it, base, or extended and with no other", "extended"),
    ] = "any"
    tls: Annotated[
        Literal["any", "ca", "required"],
        _says(
            "certificates of peers, where this node knows the cluster's authority: any, the authority's alone, "
            "or these and TLS from the first byte",
            "required",
        ),
    ] = "ca"

    @property
    def keys(self) -> list[bytes]:
        """The ring: the first key seals, all open. Empty if no key is set."""
        ring = (self.key, *self.previous_keys)
        return list(dict.fromkeys(bytes(key) for key in ring if key is not None))

    @property
    def lacks_key(self) -> bool:
        """Whether there is no cluster key, although links begin with it: all but those that begin with TLS."""
        return not self.keys and self.tls != "required"


class Ca(Section, frozen=True, kw_only=True):
    """The cluster's certificate authority, at the node that holds it."""

    folder: Annotated[
        Path | None, _says("folder of the authority; if none is named, .outrider/ca of the home", "/etc/outrider/ca")
    ] = None
    passphrase_file: Annotated[
        Path | None, _says("file whose first line opens the authority's key, if it is encrypted", "/etc/outrider/pass")
    ] = None


class WorkerIntervals(Section, frozen=True, kw_only=True):
    """Times and counts of a worker."""

    sync_integrity: Annotated[float, _seconds("pause between integrity rounds", example=300)] = 300.0
    sync_agent_info: Annotated[float, _seconds("pause between agent-info rounds")] = 60.0
    sync_agent_groups: Annotated[float, _seconds("pause between agent-groups rounds", example=30)] = 30.0
    timeout_agent_groups: Annotated[float, _seconds("limit for storing one agent-groups message", example=30)] = 30.0
    keep_alive: Annotated[float, _seconds("pause between keep-alives")] = 60.0
    connection_retry: Annotated[float, _seconds("longest pause before a reconnect", example=10)] = 10.0
    max_failed_keepalive_attempts: Annotated[
        int, _count("failed keep-alives in a row before the worker reconnects", most=1000, example=3)
    ] = 3
    agent_groups_mismatch_limit: Annotated[
        int, _count("checksum mismatches in a row before all agent groups are asked for", most=1000, example=3)
    ] = 3


class MasterIntervals(Section, frozen=True, kw_only=True):
    """Times and counts of a master."""

    process_pool_size: Annotated[int, _count("threads for scans and containers", most=64, example=2)] = 2
    sync_agent_groups: Annotated[float, _seconds("pause between agent-groups broadcasts", example=10)] = 10.0
    timeout_extra_valid: Annotated[float, _seconds("limit for unpacking extra-valid files", example=40)] = 40.0
    recalculate_integrity: Annotated[float, _seconds("pause between scans of the master's files", example=8)] = 8.0
    timeout_agent_info: Annotated[float, _seconds("limit for storing one agent-info message", example=40)] = 40.0
    agent_group_start_delay: Annotated[float, _seconds("pause before the first agent-groups broadcast", example=30)] = (
        30.0
    )
    check_worker_lastkeepalive: Annotated[float, _seconds("pause between keep-alive checks")] = 60.0
    max_allowed_time_without_keepalive: Annotated[
        float, _seconds("silence after which a worker's connection is closed", example=120)
    ] = 120.0
    max_locked_integrity_time: Annotated[
        float, _seconds("time after which a stuck integrity lock is released", example=1000)
    ] = 1000.0


class CommunicationIntervals(Section, frozen=True, kw_only=True):
    """Times and sizes of both ends of a connection."""

    timeout_cluster_request: Annotated[float, _seconds("wait for any response", example=20)] = 20.0
    timeout_dapi_request: Annotated[float, _seconds("wait for the result of an API request", example=200)] = 200.0
    timeout_receiving_file: Annotated[float, _seconds("wait for a whole file once its task began", example=120)] = 120.0
    max_zip_size: Annotated[int, _bytes("largest container, start of the adaptive limit", example=GIB)] = GIB
    min_zip_size: Annotated[int, _bytes("lowest adaptive container limit", example=30 * MIB)] = 30 * MIB
    compress_level: Annotated[int, _count("zlib level of containers", least=0, most=9, example=1)] = 1
    zip_limit_tolerance: Annotated[
        float, Meta(gt=0, lt=1, description="step of the adaptive limit, a share of it", examples=[0.2])
    ] = 0.2


class Intervals(Section, frozen=True, kw_only=True):
    """Times of the original's ``cluster.json``, under its names."""

    worker: WorkerIntervals = field(default_factory=WorkerIntervals)
    master: MasterIntervals = field(default_factory=MasterIntervals)
    communication: CommunicationIntervals = field(default_factory=CommunicationIntervals)


class Tree(Section, frozen=True, kw_only=True):
    """Which files are kept in step, and how they are written."""

    files: Annotated[
        tuple[FileRow, ...], _says("the files table: rows with a folder and its rules", [{"folder": "etc/rules/"}])
    ] = DEFAULT_FILES
    excluded_files: Annotated[tuple[str, ...], _says("base names that never travel", ["ar.conf"])] = (
        DEFAULT_EXCLUDED_FILES
    )
    excluded_extensions: Annotated[tuple[str, ...], _says("endings of names that never travel", [".tmp", "~"])] = (
        DEFAULT_EXCLUDED_EXTENSIONS
    )
    follow_links: Annotated[bool, _says("follow links to files inside their own table folder", False)] = False
    owner: Annotated[
        str, _says("user:group, names or numbers, of applied files; empty: the process's own", "wazuh:wazuh")
    ] = ""
    rehash_interval: Annotated[
        float, _seconds("pause between scans that read every file again", example=86_400, most=365 * DAY_S)
    ] = DAY_S
    keep_previous: Annotated[
        int, _count("replaced versions of the tree that stay on disk", least=0, most=100, example=1)
    ] = 1
    threads: Annotated[int, _count("threads of a scan; 0: one for each core", least=0, most=256, example=0)] = 0

    def table(self) -> tuple[FileRow, ...]:
        """The rows of the files table, as data; ``store.tree`` makes the native table of them."""
        return self.files


class Watch(Section, frozen=True, kw_only=True):
    """How soon a node notices that its own files were changed."""

    enabled: Annotated[bool, _says("look as soon as files change; if false, at the intervals alone", False)] = True
    settle_s: Annotated[
        float, _seconds("quiet after which changes that come together are over", example=0.01, most=10)
    ] = 0.01
    longest_s: Annotated[
        float, _seconds("time after which they are looked at although more come", example=0.2, most=60)
    ] = 0.2
    settings: Annotated[
        bool, _says("load the settings again when their file, or the key file, changes; if false, when told", False)
    ] = True


class Generations(Section, frozen=True, kw_only=True):
    """The master's last trees, and the steps between two nodes of ours; an old peer sees nothing of it."""

    keep: Annotated[int, _count("generations that a master keeps", most=10_000, example=16)] = 16
    keep_bytes: Annotated[int, _bytes("compressed contents that a master keeps for them", example=4 * GIB)] = 4 * GIB
    bundle_bytes: Annotated[int, _bytes("packed steps that a master keeps for its workers", example=GIB)] = GIB
    delete_share: Annotated[
        float, Meta(ge=0, le=1, description="share of its files that a step may delete unasked", examples=[0.5])
    ] = 0.5
    delete_count: Annotated[
        int, _count("files that a step may always delete unasked", least=0, most=10_000_000, example=20)
    ] = 20
    approve_deletions: Annotated[
        bool, _says("whether any number of deletions is taken without `outrider approve`", True)
    ] = False
    check_command: Annotated[
        tuple[str, ...],
        _says("program and arguments that judge a worker's new tree; if it fails the tree goes back", ["nginx", "-t"]),
    ] = ()
    check_timeout: Annotated[float, _seconds("longest run of the check", example=30)] = 30.0


class Agents(Section, frozen=True, kw_only=True):
    """Where this node keeps its agents and their groups."""

    store: Annotated[
        str,
        _says(
            "sqlite: a file of this node's own; wazuh-db: the daemon beside it; or a package's, by its name", "wazuh-db"
        ),
    ] = "sqlite"
    unknown: Annotated[
        Literal["add", "wazuh"],
        _says("agents and groups that arrive unknown: added, or left out as wazuh-db does; sqlite only", "add"),
    ] = "add"
    database_timeout: Annotated[float, _seconds("longest wait for a database that is locked or slow", example=30)] = (
        30.0
    )
    wazuh_db_socket: Annotated[
        Path, _says("socket of wazuh-db; a relative path starts at node.home", "/var/ossec/queue/db/wdb")
    ] = Path("queue/db/wdb")
    wazuh_db_connections: Annotated[
        int, _count("connections to wazuh-db, which serves eight at one time", most=8, example=2)
    ] = 2


class Local(Section, frozen=True, kw_only=True):
    """The socket on which programs of this machine ask this node, and the folder of the files that they send."""

    socket: Annotated[
        Path, _says("unix socket of this node; a relative path starts at node.home", "/run/outrider.sock")
    ] = Path("queue/cluster/c-internal.sock")
    owner: Annotated[
        str, _says("user:group, names or numbers, of the socket, mode 660; empty: the process's own", "root:wazuh")
    ] = ""
    send_folder: Annotated[
        str, _says("folder below node.home whose files programs may send to other nodes, and that takes theirs", "tmp/")
    ] = ""


class Grants(Section, frozen=True, kw_only=True):
    """Who may ask this node for which calls; patterns of names, e.g. ``outrider.*``."""

    programs: Annotated[
        tuple[str, ...], _says("calls that programs of this machine may ask this node for", ["outrider.*"])
    ] = ("*",)
    workers_at_master: Annotated[
        tuple[str, ...], _says("calls that workers may ask this master for", ["wazuh.agent:*"])
    ] = ("*",)
    workers_at_workers: Annotated[
        tuple[str, ...], _says("calls that workers may ask other workers for, through this master", [])
    ] = ("*",)
    master: Annotated[tuple[str, ...], _says("calls that its master may ask this worker for", ["wazuh.*"])] = ("*",)


class Http(Section, frozen=True, kw_only=True):
    """What people and their tools look at: the page, metrics, health; needs ``pip install 'outrider[http]'``."""

    enabled: Annotated[bool, _says("serve it, on a port of its own", True)] = False
    bind_addr: Annotated[
        str, _says("address that it listens on; whoever reaches it reads all it shows, unasked", "127.0.0.1")
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65_535, description="TCP port that it listens on; 0 takes any", examples=[1517])
    ] = 1517
    hosts: Annotated[
        tuple[str, ...],
        _says(
            "names by which browsers and tools may ask for it, besides addresses, localhost and node.name",
            ["worker1.example.org"],
        ),
    ] = ()
    connections: Annotated[int, _count("connections at one time", most=4096, example=64)] = 64
    connection_s: Annotated[
        float, _seconds("life of a connection, and half as long again to take its answer", example=60, most=3600)
    ] = 60.0


class Limits(Section, frozen=True, kw_only=True):
    """How much a peer may cost this node; every limit that is hit is counted by its name."""

    handshake_deadline_s: Annotated[float, _seconds("time from accept to a good hello", example=20, most=600)] = 20.0
    unknown_frame_bytes: Annotated[
        int, _bytes("largest frame of a peer that is not known yet", most=16 * MIB, example=64 * KIB)
    ] = 64 * KIB
    frame_bytes: Annotated[
        int, _bytes("largest frame of a known peer", least=LARGEST_FRAME, most=GIB, example=16 * MIB)
    ] = 16 * MIB
    message_bytes: Annotated[
        int, _bytes("largest message that is joined from parts", least=LARGEST_FRAME, most=4 * GIB, example=64 * MIB)
    ] = 64 * MIB
    open_messages: Annotated[int, _count("unfinished divided messages of a peer", most=65_536, example=64)] = 64
    open_files: Annotated[int, _count("files that a peer is sending at one time", most=1024, example=8)] = 8
    file_bytes: Annotated[int, _bytes("largest file that a peer may send", example=GIB + 64 * MIB)] = GIB + 64 * MIB
    open_strings: Annotated[int, _count("long strings that a peer is sending", most=65_536, example=64)] = 64
    string_bytes: Annotated[int, _bytes("largest long string", most=4 * GIB, example=64 * MIB)] = 64 * MIB
    strings_total: Annotated[int, _bytes("all long strings of a peer", most=64 * GIB, example=256 * MIB)] = 256 * MIB
    answers_under_way: Annotated[
        int,
        _count("requests of a peer that are being answered; it is not heard meanwhile", most=1_000_000, example=1024),
    ] = 1024
    unread_answers_bytes: Annotated[
        int,
        _bytes(
            "answers that a peer does not read; it is not heard meanwhile", least=MIB, most=4 * GIB, example=32 * MIB
        ),
    ] = 32 * MIB
    groups_waiting: Annotated[
        int, _count("periodic messages of agent groups that wait for a slow worker", most=65_536, example=4)
    ] = 4
    tasks: Annotated[int, _count("tasks that a peer may run at one time", most=65_536, example=64)] = 64
    connections: Annotated[int, _count("connections of a master", most=1_000_000, example=4096)] = 4096
    connections_per_address: Annotated[
        int, _count("connections of a master from one address", most=1_000_000, example=1024)
    ] = 1024
    inflight_write_bytes: Annotated[
        int, _bytes("what one peer sent and the disk has not taken yet", least=64 * KIB, most=GIB, example=8 * MIB)
    ] = 8 * MIB
    inflight_writes: Annotated[
        int, _count("requests of one peer that wait for the disk", least=2, most=1_000_000, example=2048)
    ] = 2048
    unpacked_file_bytes: Annotated[int, _bytes("largest file out of a container", example=4 * GIB)] = 4 * GIB
    unpacked_total_bytes: Annotated[int, _bytes("all files out of a container", example=16 * GIB)] = 16 * GIB
    unpacked_ratio: Annotated[
        int,
        _count("unpacked bytes for each packed one, beyond one largest file", least=10, most=1_000_000, example=250),
    ] = 250
    unpacked_files: Annotated[int, _count("files in a container or a bundle", most=100_000_000, example=2_097_152)] = (
        2_097_152
    )
    metadata_bytes: Annotated[
        int, _bytes("list of files in a container, a bundle or a report, unpacked", most=16 * GIB, example=512 * MIB)
    ] = 512 * MIB
    json_depth: Annotated[int, _count("levels of an API request within one another", most=500, example=100)] = 100
    request_bytes: Annotated[int, _bytes("largest API request", most=64 * MIB, example=MIB)] = MIB
    result_bytes: Annotated[int, _bytes("largest answer to an API request", most=4 * GIB, example=64 * MIB)] = 64 * MIB
    requests_running: Annotated[int, _count("API requests that run at one time", most=65_536, example=256)] = 256
    requests_running_per_peer: Annotated[
        int, _count("API requests of one caller that run at one time", most=65_536, example=64)
    ] = 64
    requests_waiting_per_peer: Annotated[
        int, _count("API requests of one caller that wait for their turn", most=1_000_000, example=1024)
    ] = 1024
    requests_bytes_per_peer: Annotated[
        int, _bytes("all API requests of one caller that wait or run", most=4 * GIB, example=16 * MIB)
    ] = 16 * MIB
    request_longest_s: Annotated[
        float, _seconds("longest run of an API request whose caller waits without a limit", example=3600)
    ] = 3600.0
    local_clients: Annotated[int, _count("programs on the local socket at one time", most=65_536, example=256)] = 256
    local_frame_bytes: Annotated[
        int, _bytes("largest frame of a program on the local socket", least=MIB, most=GIB, example=4 * MIB)
    ] = 4 * MIB
    calls_in_threads: Annotated[
        int, _count("plain API calls that hold a thread at one time, half of them of one name", most=6, example=4)
    ] = 4
    hook_items: Annotated[
        int, _count("agents, assignments and other events that wait for one hook", most=10_000_000, example=20_000)
    ] = 20_000


class Sendsync(Section, frozen=True, kw_only=True):
    """Daemons beside a master that programs on its workers may ask; none unless its socket is named."""

    authd: Annotated[
        Path | None, _says("socket of authd; a relative path starts at node.home", "queue/sockets/auth")
    ] = None
    task_manager: Annotated[
        Path | None, _says("socket of task-manager; a relative path starts at node.home", "queue/tasks/task")
    ] = None
    remoted: Annotated[
        Path | None, _says("socket of remoted; a relative path starts at node.home", "queue/sockets/remote")
    ] = None
    wazuh_db: Annotated[
        Path | None, _says("socket of wazuh-db; a relative path starts at node.home", "queue/db/wdb")
    ] = None
    wazuh_db_commands: Annotated[
        tuple[str, ...],
        _says("commands, by their first words, that may go to wazuh-db; all others are refused", ["global sql select"]),
    ] = ("global select-groups",)

    def socket(self, daemon: str) -> Path | None:
        """The socket of a daemon by its name on the wire; ``None`` if nobody may ask it."""
        sockets = {
            "authd": self.authd,
            "task-manager": self.task_manager,
            "remoted": self.remoted,
            "wazuh-db": self.wazuh_db,
        }
        return sockets.get(daemon)


class Log(Section, frozen=True, kw_only=True):
    """What the command line writes to standard error."""

    level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], _says("least severe line that is written", "DEBUG")
    ] = "INFO"
    format: Annotated[
        Literal["human", "json"], _says("human: a line for people; json: one JSON object a line, for programs", "json")
    ] = "human"
