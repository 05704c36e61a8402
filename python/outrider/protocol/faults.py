"""The exception JSON of specification 7.2: what answers a request that failed, and what an API call fails with.

Exactly the keys of 7.2 are written, since an old peer closes the connection at any other. Reading is
forgiving: an ``err`` payload that cannot be read becomes code 3000 with the text as its detail. A class
name of the wire is looked up in a table and leads nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct, field

from outrider.errors import RefusedByPeer
from outrider.protocol.shallow import shallow

INTERNAL: Final = 1000
SOCKET_ERROR: Final = 1014
GENERIC: Final = 3000
REQUEST_TIMEOUT: Final = 3020
API_TIMEOUT: Final = 3021
UNKNOWN_NODE: Final = 3022
NO_MASTER: Final = 3023
UNKNOWN_TASK: Final = 3027
NAME_TAKEN: Final = 3028
MASTERS_NAME: Final = 3029
OTHER_CLUSTER: Final = 3030
OTHER_VERSION: Final = 3031
UNKNOWN_REQUEST: Final = 3032
NO_FILE: Final = 3034
FILE_TIMEOUT: Final = 3039
FILE_ERROR: Final = 3040
DENIED: Final = 4000

MESSAGES: Final[Mapping[int, str]] = {
    INTERNAL: "Internal error",
    SOCKET_ERROR: "Error communicating with socket",
    1017: "Some daemons of this node are not ready",
    1724: "Not a field that can be selected",
    1728: "Not a type of node",
    1730: "No such node",
    GENERIC: "Cluster",
    REQUEST_TIMEOUT: "Timeout sending request",
    API_TIMEOUT: "Timeout executing API request",
    UNKNOWN_NODE: "No such node is connected",
    NO_MASTER: "This worker is not connected to its master",
    UNKNOWN_TASK: "No such task",
    NAME_TAKEN: "A worker of this name is connected",
    MASTERS_NAME: "The master has this name",
    OTHER_CLUSTER: "The cluster has another name",
    OTHER_VERSION: "The versions differ",
    UNKNOWN_REQUEST: "Nobody waits for this API answer",
    NO_FILE: "The file to send was not found",
    FILE_TIMEOUT: "Timeout waiting for a file",
    FILE_ERROR: "Error waiting for a file",
    DENIED: "Permission denied",
}
"""The wire carries codes, not these texts: each node says them in its own words. 1014 and 3020 travel in plain
texts of the recordings and are worded as there."""

_WITHOUT_IDS: Final[Mapping[str, str]] = {
    "WazuhException": "WazuhException",
    "WazuhInternalError": "Wazuh Internal Error",
    "WazuhClusterError": "Wazuh Cluster Error",
    "WazuhHAPHelperError": "HAProxy Helper Error",
}
_WITH_IDS: Final[Mapping[str, str]] = {
    "WazuhError": "Bad Request",
    "WazuhPermissionError": "Permission Denied",
    "WazuhResourceNotFound": "Resource Not Found",
    "WazuhTooManyRequests": "Too Many Requests",
    "WazuhNotAcceptable": "Not Acceptable",
}
TITLES: Final[Mapping[str, str]] = {**_WITHOUT_IDS, **_WITH_IDS}
"""Every class of 7.2, by its name on the wire, with its title."""

_CLUSTER_CLASS: Final = "WazuhClusterError"
_INTERNAL_CLASS: Final = "WazuhInternalError"


class Fault(NamedTuple):
    """A code of specification 7.2 and the ``extra_message`` that explains it."""

    code: int
    detail: str | None = None


class NodeError(Struct, frozen=True):
    """What one node of a distributed request said when it failed."""

    error: str
    logfile: str | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """An exception of 7.2, whole. ``name`` is one of :data:`TITLES`; ``ids`` are what it is about."""

    code: int
    name: str = "WazuhError"
    extra_message: str | dict[str, Any] | None = None
    extra_remediation: str | None = None
    cmd_error: bool = False
    dapi_errors: dict[str, NodeError] = field(default_factory=dict)
    ids: list[Any] = field(default_factory=list)

    @classmethod
    def internal(cls, detail: str) -> Failure:
        """An unexpected failure of this node."""
        return cls(name=_INTERNAL_CLASS, code=INTERNAL, extra_message=detail)

    @classmethod
    def of_cluster(cls, code: int, detail: str | None = None) -> Failure:
        """A failure of the cluster itself: a timeout, a node that is not there."""
        return cls(name=_CLUSTER_CLASS, code=code, extra_message=detail)

    @property
    def detail(self) -> str | None:
        """The words of the node that failed, if it has said any."""
        return _detail(self.extra_message)

    def parts(self) -> dict[str, Any]:
        """``__class__`` and ``__object__``, plain data."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": TITLES[self.name],
            "code": self.code,
            "extra_message": self.extra_message,
            "extra_remediation": self.extra_remediation,
            "cmd_error": self.cmd_error,
            "dapi_errors": msgspec.to_builtins(self.dapi_errors),
        }
        if self.name in _WITH_IDS:
            body["ids"] = self.ids
        return {"__class__": self.name, "__object__": body}

    @classmethod
    def read(cls, parts: Any) -> Failure:
        """Read ``__class__`` and ``__object__``; :class:`ValueError` unless they are an exception of 7.2."""
        read = msgspec.convert(parts, _Parts)
        if read.name not in TITLES:
            raise ValueError("it is of no class that an exception may have")
        return msgspec.convert({**read.body, "name": read.name}, cls)

    def __str__(self) -> str:
        """The printed form, which travels in plain-text errors."""
        if self.cmd_error and isinstance(self.extra_message, str):
            return f"Error {self.code} - {self.extra_message}"
        message = MESSAGES.get(self.code, TITLES[self.name])
        return f"Error {self.code} - {message}" + (f": {self.detail}" if self.detail else "")


class _Parts(Struct, frozen=True):
    name: str = field(name="__class__")
    body: dict[str, Any] = field(name="__object__")


def encode_fault(fault: Fault, *, internal: bool = False) -> bytes:
    """The exception JSON of ``fault``; ``internal`` selects the class of an unexpected failure (1.6)."""
    name = _INTERNAL_CLASS if internal else _CLUSTER_CLASS
    failure = Failure(name=name, code=fault.code, extra_message=fault.detail)
    return json.dumps({"__wazuh_exception__": failure.parts()}).encode()


def decode_fault(payload: bytes) -> Fault:
    """Read an ``err`` payload: exception JSON, or plain text as code 3000."""
    text = payload.decode(errors="replace")
    try:
        body = _object(json.loads(text))
        return Fault(int(body["code"]), _detail(body.get("extra_message")))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Fault(GENERIC, text)


def parse_fault(payload: bytes) -> Fault:
    """Read the exception JSON of a ``_r`` or ``cancel_task`` request; :class:`ValueError` unless it is JSON."""
    _read_json(payload)
    return decode_fault(payload)


_read_json = shallow(lambda payload: json.loads(payload.decode()))


def refused(payload: bytes) -> RefusedByPeer:
    """An ``err`` answer as the exception that our caller gets."""
    return RefusedByPeer(*decode_fault(payload))


def _object(message: Any) -> dict[str, Any]:
    body = message["__wazuh_exception__"]["__object__"]
    if not isinstance(body, dict):
        raise TypeError(body)
    return body


def _detail(extra: Any) -> str | None:
    return extra if extra is None or isinstance(extra, str) else json.dumps(extra)
