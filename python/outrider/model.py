"""The nouns of the cluster. Files, trees and plans are defined once, in the native core."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from outrider._native import Entry, Manifest, Plan, diff

__all__ = [
    "GROUP_NAMES",
    "MOST_GROUPS",
    "AgentId",
    "AgentInfo",
    "ConnectionStatus",
    "Entry",
    "GroupAssignment",
    "GroupMode",
    "Label",
    "Manifest",
    "NodeInfo",
    "Plan",
    "SyncStatus",
    "diff",
    "endpoint",
    "is_group_name",
]

ConnectionStatus = Literal["pending", "never_connected", "active", "disconnected"]
GroupMode = Literal["override", "append", "empty_only", "remove"]
"""How an assignment meets the groups that an agent has: replaces them, comes after them, applies only if there are
none, takes away (specification 6.3)."""
SyncStatus = Literal["synced", "syncreq"]
"""Whether the other end knows already."""

AgentId = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""Agent 0 is the machine of the node itself; it never travels."""

MOST_GROUPS = 128
"""Groups of one agent (specification 6.3)."""
GROUP_NAMES = "letters, digits, '.', '_', '-', 255 at most"
"""What a group's name is made of, for texts."""
_GROUP_NAME = re.compile(r"[a-zA-Z0-9_.\-]{1,255}")


class NodeInfo(Struct, frozen=True, kw_only=True):
    """One node of the cluster, as it introduced itself; ``type`` is ``worker`` or ``master``."""

    name: str
    type: str
    version: str
    address: str


class Label(Struct, frozen=True):
    """A label of an agent; ``id`` is the agent's."""

    id: AgentId
    key: str
    value: str


class AgentInfo(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """What is known of one agent, under the columns of specification 6.3; times are Unix seconds.

    ``None`` is a column without a value; ``labels`` is ``None`` where the labels stay as they are, ``()``
    where there are none. ``other`` holds the columns that this version does not know, by name.
    """

    id: AgentId
    name: str
    connection_status: ConnectionStatus
    ip: str | None = None
    os_name: str | None = None
    os_version: str | None = None
    os_major: str | None = None
    os_minor: str | None = None
    os_codename: str | None = None
    os_build: str | None = None
    os_platform: str | None = None
    os_uname: str | None = None
    os_arch: str | None = None
    version: str | None = None
    config_sum: str | None = None
    merged_sum: str | None = None
    manager_host: str | None = None
    node_name: str | None = None
    last_keepalive: int | None = None
    disconnection_time: int | None = None
    group_config_status: str | None = None
    status_code: int | None = None
    labels: tuple[Label, ...] | None = None
    other: Mapping[str, Any] = field(default_factory=dict, name="")


class GroupAssignment(Struct, frozen=True, gc=False):
    """The groups of one agent, in the order of their priority; :class:`ValueError` for what no node would take."""

    id: AgentId
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check what a program hands in as strictly as what a peer sends."""
        if type(self.id) is not int or not 1 <= self.id < 2**31:
            raise ValueError(f"an agent's id is a number from 1 to 2147483647, not {self.id!r}")
        if type(self.groups) is not tuple or not all(type(name) is str for name in self.groups):
            raise ValueError(f"groups of agent {self.id}: a tuple of names is expected, not {self.groups!r:.80}")


def is_group_name(name: str) -> bool:
    """Whether a group may have this name (specification 6.3)."""
    return _GROUP_NAME.fullmatch(name) is not None and name not in {".", ".."}


def endpoint(host: str, port: int) -> str:
    """An address and a port as people write them: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
