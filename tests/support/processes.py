"""Real nodes: a process each, on a folder of its own, over loopback."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.folders import files_below

KEY = "0123456789abcdefghijklmnopqrstuv"
DEADLINE_S = 30.0
_INTERVALS: dict[str, dict[str, Any]] = {
    "worker": {
        "sync_integrity": 1,
        "sync_agent_info": 0.5,
        "keep_alive": 1,
        "connection_retry": 1,
        "max_failed_keepalive_attempts": 2,
    },
    "master": {"recalculate_integrity": 0.5, "agent_group_start_delay": 0.5, "sync_agent_groups": 0.5},
}


class Node:
    """One node; it may be started and ended as often as a test wants."""

    def __init__(
        self,
        role: str,
        home: Path,
        *,
        port: int,
        host: str = "127.0.0.1",
        intervals: dict[str, Any] | None = None,
        agents: dict[str, Any] | None = None,
        generations: dict[str, Any] | None = None,
        link: dict[str, Any] | None = None,
        http: dict[str, Any] | None = None,
        log: dict[str, Any] | None = None,
        key_file: Path | None = None,
        level: str = "DEBUG",
        **limits: Any,
    ) -> None:
        self.role, self.home, self.port, self.host = role, home, port, host
        self.log = home.parent / f"{home.name}.log"
        self._intervals = {**_INTERVALS[role], **(intervals or {})}
        self._agents = agents or {}
        self._log = {"level": level, **(log or {})}
        self._generations = generations or {}
        self._link = link or {}
        self._http = http or {}
        self._key = {"key": KEY} if key_file is None else {"key_file": str(key_file)}
        self.within: list[str] = []
        """A command that ends by becoming the one behind it, e.g. ``unshare --mount``."""
        self.environment: dict[str, str] = {}
        """What its process finds there besides this one's."""
        self._process: subprocess.Popen[bytes] | None = None
        (home / "tree").mkdir(parents=True, exist_ok=True)
        self.config = home.parent / f"{home.name}.toml"
        self.config.write_text(self._toml(limits), "utf-8")
        self.config.chmod(0o600)

    def start(self) -> Node:
        """Start the process; a master listens, or has given up, when this returns."""
        seen = len(self.lines())
        node = [sys.executable, "-m", "outrider", self.role, "--config", str(self.config), "--home", str(self.home)]
        command = [*self.within, *node]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **self.environment}
            )
        if self.role == "master":
            wait_until(lambda: self._ended() or any("listening on" in line for line in self.lines()[seen:]))
        return self

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None
        return self._process.pid

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def terminate(self) -> int:
        """End it as a service manager does; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(DEADLINE_S)

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(DEADLINE_S)

    def wait(self) -> int:
        """Its exit code, when it ends by itself."""
        assert self._process is not None
        return self._process.wait(DEADLINE_S)

    def lines(self) -> list[str]:
        """What it has written so far."""
        return self.log.read_text("utf-8").splitlines() if self.log.exists() else []

    def said(self, text: str) -> int:
        """In how many lines a text stands."""
        return sum(bool(re.search(text, line)) for line in self.lines())

    def tree(self) -> dict[str, bytes]:
        """Every file of its tree."""
        return files_below(self.home, "tree")

    def write(self, path: str, content: bytes) -> None:
        """Write a file of its tree, all at once."""
        file = self.home / "tree" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.home / "fresh"
        fresh.write_bytes(content)
        fresh.rename(file)

    def _toml(self, limits: dict[str, Any]) -> str:
        sections: dict[str, dict[str, Any]] = {
            "node": {"name": self.home.name},
            "link": {**self._key, "port": self.port, "nodes": [self.host], "bind_addr": self.host} | self._link,
            "agents": self._agents,
            "generations": self._generations,
            "http": self._http,
            "limits": limits,
            "log": self._log,
            f"intervals.{self.role}": self._intervals,
        }
        text = "".join(
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
            for name, section in sections.items()
            if section
        )
        return text + '[[tree.files]]\nfolder = "tree/"\nremove_subdirs_if_empty = true\n'


@contextlib.contextmanager
def nodes(*several: Node) -> Iterator[None]:
    """Start nodes in this order; whatever still runs at the end is killed."""
    try:
        for node in several:
            node.start()
        yield
    finally:
        for node in several:
            node.kill()


@contextlib.contextmanager
def frozen(one: Node) -> Iterator[None]:
    """Its links stand, and it does nothing."""
    os.kill(one.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(one.pid, signal.SIGCONT)


def wait_until(true: Callable[[], bool], what: str = "the condition", deadline_s: float = DEADLINE_S) -> None:
    """Wait for something that is sure to come; the deadline is there for tests that fail."""

    def now() -> bool:
        with contextlib.suppress(FileNotFoundError):  # a file went while a tree was read
            return true()
        return False

    deadline = time.monotonic() + deadline_s
    while not now():
        assert time.monotonic() < deadline, f"waited {deadline_s} s in vain for {what}"
        time.sleep(0.02)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port
