"""The exception JSON that answers a request which failed (specification 7.2).

Exactly the keys of 7.2 are written, since an old peer closes the connection at any other. Reading
is forgiving: whatever cannot be read becomes code 3000 with the text as its detail.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from outrider.errors import RefusedByPeer

INTERNAL: Final = 1000
GENERIC: Final = 3000
UNKNOWN_TASK: Final = 3027
NAME_TAKEN: Final = 3028
MASTERS_NAME: Final = 3029
OTHER_CLUSTER: Final = 3030
OTHER_VERSION: Final = 3031
FILE_TIMEOUT: Final = 3039
FILE_ERROR: Final = 3040

_INTERNAL_CLASS = ("WazuhInternalError", "Wazuh Internal Error")
_CLUSTER_CLASS = ("WazuhClusterError", "Wazuh Cluster Error")


class Fault(NamedTuple):
    """A code of specification 7.2 and the ``extra_message`` that explains it."""

    code: int
    detail: str | None = None


def encode_fault(fault: Fault, *, internal: bool = False) -> bytes:
    """The exception JSON of ``fault``; ``internal`` selects the class of an unexpected failure (1.6)."""
    name, title = _INTERNAL_CLASS if internal else _CLUSTER_CLASS
    body = {
        "type": "about:blank",
        "title": title,
        "code": fault.code,
        "extra_message": fault.detail,
        "extra_remediation": None,
        "cmd_error": False,
        "dapi_errors": {},
    }
    return json.dumps({"__wazuh_exception__": {"__class__": name, "__object__": body}}).encode()


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
    json.loads(payload.decode())
    return decode_fault(payload)


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
