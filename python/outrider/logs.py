"""One tagged logger for each process of a node, under the ``outrider`` logger.

A record carries ``node``, ``peer``, ``tag`` and ``task`` as attributes, and ``code`` where it tells of an error of ours
(``outrider explain``), so that a host may format or filter by them; ``task`` is the id of the task on the wire, or the
number of the round. The library never configures logging for its host: only the command line calls :func:`configure`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Literal, TextIO

from outrider.errors import OutriderError
from outrider.printable import counted, printable
from outrider.working import under_way

ROOT = "outrider"
_MOST = 8192
"""Characters of a message: many tell of what a peer sent, in its words."""


class Tag(StrEnum):
    """The processes of a node, under the mission's names."""

    AGENT_GROUPS_RECV = "Agent-groups recv"
    AGENT_GROUPS_RECV_FULL = "Agent-groups recv full"
    AGENT_GROUPS_SEND = "Agent-groups send"
    AGENT_GROUPS_SEND_FULL = "Agent-groups send full"
    AGENT_INFO_SYNC = "Agent-info sync"
    AGENT_REGISTRATION = "Agent registration"
    API = "API requests"
    CLUSTER = "Cluster"
    HOOKS = "Hooks"
    HTTP = "HTTP"
    IDENTITY = "Identity"
    INTEGRITY_CHECK = "Integrity check"
    INTEGRITY_SYNC = "Integrity sync"
    KEEP_ALIVE = "Keep alive"
    LOCAL_INTEGRITY = "Local integrity"
    LOCAL_SERVER = "Local server"
    LOCAL_WATCH = "Local watch"


Peer = str | Callable[[], str] | None


@cache
def _logger(tag: str) -> logging.Logger:
    """Kept: one is asked for at each transfer, and finding it by name costs more than most of its lines."""
    name = re.sub(r"[^a-z0-9]+", "_", tag.lower()).strip("_")
    return logging.getLogger(f"{ROOT}.{name}")


class TaskLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines all name their node, peer, process and task."""

    def __init__(self, tag: str, *, node: str, peer: Peer = None, task: str | None = None) -> None:
        super().__init__(_logger(tag))
        self.fields: dict[str, Peer] = {"node": node, "peer": peer, "tag": str(tag), "task": task}

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log; a line that tells of an error of ours carries its code."""
        if not self.isEnabledFor(level):
            return
        told = next((one for one in args if isinstance(one, OutriderError)), None)
        if told is not None:
            kwargs["extra"] = {"code": told.situation, **(kwargs.get("extra") or {})}
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # the line is the caller's, not this one
        super().log(level, msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the fields on the record."""
        peer = self.fields["peer"]
        kwargs["extra"] = {
            **(kwargs.get("extra") or {}),
            **self.fields,
            "peer": peer() if callable(peer) else peer,
            "task": self.fields["task"] or under_way.get(),
        }
        return msg, kwargs


def task_logger(tag: str, node: str, peer: Peer = None, task: str | None = None) -> TaskLogger:
    """The logger of the process ``tag`` at ``node``, about ``peer`` and within ``task`` where they are known.

    A ``peer`` that is not known yet may be a function, which each line asks.
    """
    return TaskLogger(tag, node=node, peer=peer, task=task)


def _moment(record: logging.LogRecord) -> str:
    seconds = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{int(record.msecs):03}Z"


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    return text if len(text) <= _MOST else f"{text[:_MOST]}... ({counted(len(text) - _MOST, 'more character')})"


class HumanFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO    [worker1] [Integrity sync] [task 3f2a08c1] text``, one line a record.

    The code of an error ends it: ``[OUT-1702]``.

    Control characters are written as escapes: a peer's bytes can neither start a line nor colour one.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name that logging calls)
        """One line of text."""
        where = f"[{getattr(record, 'node', None) or record.name}]"
        if peer := getattr(record, "peer", None):
            where += f" [peer {peer}]"
        if tag := getattr(record, "tag", None):
            where += f" [{tag}]"
        if task := getattr(record, "task", None):
            where += f" [task {task.partition('-')[0]}]"
        code = f" [{record.code}]" if hasattr(record, "code") else ""
        line = printable(f"{where} {_message(record)}{code}")
        return f"{_moment(record)} {record.levelname:<7} {line}"

    def formatException(self, ei: Any) -> str:  # noqa: N802  (the name that logging calls)
        """The traceback, its lines kept and everything else that is no text escaped."""
        return "\n".join(printable(line) for line in super().formatException(ei).split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object a line; ``null`` for what is not known.

    Its keys: time, level, node, peer, tag, task, code, message, exception.
    ``node`` is named where a line does not say it: those of other libraries. ASCII alone, so that a peer's bytes can
    neither start a line nor colour one.
    """

    def __init__(self, node: str | None = None) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": _moment(record),
            "level": record.levelname,
            "node": getattr(record, "node", None) or self._node,
            "peer": getattr(record, "peer", None),
            "tag": getattr(record, "tag", None),
            "task": getattr(record, "task", None),
            "code": getattr(record, "code", None),
            "message": _message(record),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps(line)


def configure(
    level: str = "INFO",
    stream: TextIO | None = None,
    *,
    form: Literal["human", "json"] = "human",
    node: str | None = None,
) -> None:
    """Write all lines of at least ``level`` to ``stream`` (standard error). For the command line only."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(node) if form == "json" else HumanFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT).setLevel(level)
