"""What wazuh-db's answers mean (specification 6.2, 6.3): a status, a payload, and whose fault an ``err`` is."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from outrider.codes import Code
from outrider.errors import RecordsRefused, StoreBusyError, StoreError, UnknownAgents

Status = Literal["ok", "due", "err", "ign", "unk", "json"]
"""``json``: the answer to a request that begins with ``{``, another set of commands, which has no status."""

_STATUSES: dict[bytes, Status] = {status.encode(): status for status in get_args(Status) if status != "json"}
_UNKNOWN_AGENT = "FOREIGN KEY constraint failed"
_MAY_WORK_LATER = (
    "Couldn't open DB",
    "DB global disabled",
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
)
"""Parts of the texts that speak of the database's state, not of what was asked."""


class Reply(NamedTuple):
    """``due`` is as good as ``ok`` and says that there is more; the payload of ``err`` is text for people."""

    status: Status
    payload: bytes


def read_reply(answer: bytes) -> Reply:
    """Cut an answer at its first space; the end of line that echoes the request's own is no part of it."""
    answer = answer.removesuffix(b"\n")
    if answer.startswith(b"{"):
        return Reply("json", answer)
    word, space, payload = answer.partition(b" ")
    status = _STATUSES.get(word)
    if status is None or (not space and status != "ok"):
        raise StoreError(f"wazuh-db answered {_text(answer[:64])!r}, which is none of its answers").coded(
            Code.STRANGE_WAZUH_DB
        )
    return Reply(status, payload)


def failure(reply: Reply) -> StoreError:
    """The error that a reply other than ``ok`` and ``due`` is, with the daemon's own words."""
    if reply.status != "err":
        return StoreError(f"wazuh-db did not do what was asked: {reply.status} {_text(reply.payload)}").coded(
            Code.STRANGE_WAZUH_DB
        )
    text = _text(reply.payload)
    if any(part in text for part in _MAY_WORK_LATER):
        return StoreBusyError(f"wazuh-db cannot now: {text}").coded(Code.NO_WAZUH_DB)
    if _UNKNOWN_AGENT in text:
        return UnknownAgents(text)
    return RecordsRefused(text)


def _text(payload: bytes) -> str:
    """The daemon repeats what it was sent, cut at any byte: not always UTF-8."""
    return payload.decode(errors="backslashreplace")
