"""The kinds that every node of ours has: names and commands. Their halves stand in the roles, which know them."""

from __future__ import annotations

from typing import Final

from outrider.kinds.interface import Kind
from outrider.protocol import commands as c

INTEGRITY: Final = Kind(
    name="integrity",
    commands=(
        c.INTEGRITY_PERMISSION,
        c.INTEGRITY_CHECK,
        c.INTEGRITY_CHECK_END,
        c.INTEGRITY_CHECK_ERROR,
        c.IN_STEP,
        c.INTEGRITY_SYNC,
        c.INTEGRITY_SYNC_END,
        c.INTEGRITY_SYNC_ERROR,
    ),
    vital=True,
)
AGENT_INFO: Final = Kind(
    name="agent_info",
    commands=(c.AGENT_INFO_PERMISSION, c.AGENT_INFO, c.AGENT_INFO_RESULT, c.AGENT_INFO_ERROR),
    vital=True,
)
AGENT_GROUPS: Final = Kind(
    name="agent_groups",
    commands=(
        c.GROUPS,
        c.FULL_GROUPS,
        c.FULL_GROUPS_REQUEST,
        c.GROUPS_RESULT,
        c.FULL_GROUPS_RESULT,
        c.GROUPS_ERROR,
        c.FULL_GROUPS_ERROR,
    ),
    vital=True,
)
AGENT_REGISTRATION: Final = Kind(name="agent_registration", vital=True)
REQUESTS: Final = Kind(
    name="requests",
    commands=(c.DAPI, c.DAPI_RESULT, c.DAPI_ERR, c.SENDSYNC, c.SENDSYNC_RESULT, c.SENDSYNC_ERROR),
    vital=True,
)
CENSUS: Final = Kind(name="census", commands=(c.GET_NODES, c.GET_HEALTH), vital=True)

GENERATIONS: Final = Kind(
    name="generations",
    commands=(c.GEN_CHECK, c.GEN_HAVE, c.GEN_SIGS, c.GEN_READ, c.GEN_DONE, c.GEN_NEW),
    feature="generations",
    instead_of="integrity",
)
"""The fast path: files between two nodes of ours."""
KEYS: Final = Kind(name="keys", commands=(c.KEY_STANDS, c.KEY_NEWS), feature="keys")
"""The rotation of the cluster key, between two nodes of ours."""

IDENTITY: Final = Kind(name="identity", commands=(c.CA_RENEW, c.CA_TRUST), feature="identity", vital=True)
"""Certificates of the cluster's authority between two nodes of ours."""

BUILTIN: Final = (
    INTEGRITY,
    AGENT_INFO,
    AGENT_GROUPS,
    AGENT_REGISTRATION,
    REQUESTS,
    CENSUS,
    GENERATIONS,
    KEYS,
    IDENTITY,
)
