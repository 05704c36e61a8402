"""Nodes inside the process of a test, over real sockets; and what such a process must find unchanged afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import re
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from outrider.settings import Settings

KEY = "0123456789abcdefghijklmnopqrstuv"


def embedded(home: Path, port: int = 0, **changes: Any) -> Settings:
    """Settings of a node on ``home``, which is made; a worker's master listens at ``port`` of this machine."""
    (home / "tree").mkdir(parents=True, exist_ok=True)
    given = {
        "node.home": str(home),
        "node.name": home.name,
        "link.key": KEY,
        "link.port": port,
        "link.nodes": ["127.0.0.1"],
        "link.bind_addr": "127.0.0.1",
        "tree.files": [{"folder": "tree/"}],
        "intervals.worker.connection_retry": 0.5,
    }
    return Settings.from_mapping(given | {key.replace("__", "."): value for key, value in changes.items()})


class Footprint:
    """Everything that belongs to the process of a host rather than to a node in it."""

    def __init__(self) -> None:
        self._before = self._now()
        self._descriptors = _descriptors()

    def differences(self) -> dict[str, Any]:
        """What is another than it was when this was made: nothing, if a node has left as it came."""
        now = self._now()
        gc.collect()  # what the core has opened closes with the objects that hold it
        different: dict[str, Any] = {
            what: (before, now[what]) for what, before in self._before.items() if before != now[what]
        }
        if opened := _descriptors() - self._descriptors:
            different["descriptors"] = opened
        return different

    def _now(self) -> dict[str, Any]:
        root = logging.getLogger()
        ours = {
            name: logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith("outrider")
        }
        return {
            "threads": set(threading.enumerate()),
            "tasks": _tasks(),
            "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
            "root logger": (root.level, list(root.handlers)),
            "loggers of ours": {
                name: (logger.level, list(logger.handlers), logger.propagate, logger.disabled)
                for name, logger in ours.items()
                if (logger.level, logger.handlers, logger.propagate, logger.disabled) != (0, [], True, False)
            },
        }


def _descriptors() -> Counter[str]:
    """What the open descriptors lead to; numbers of sockets and pipes are left out."""
    found: Counter[str] = Counter()
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that this takes to look
            if str(one.readlink()) != "/dev/null":  # uvloop keeps one of these for itself
                found[re.sub(r"\[\d+\]", "", str(one.readlink()))] += 1
    return found


def _tasks() -> set[asyncio.Task[Any]]:
    try:
        return asyncio.all_tasks()
    except RuntimeError:  # no loop runs here
        return set()
