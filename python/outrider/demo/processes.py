"""Nodes as real processes of the command line, watched through what they log."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from outrider.codes import Code
from outrider.errors import OutriderError

_VERDICT = re.compile(r"Finished in ([\d.]+) s: (in step|synchronised)")
_SENT = re.compile(r"sent (\d+) bytes")
_LISTENING = re.compile(r"listening on \S*:(\d+)")
_STARTING = re.compile(r"an apply that was cut short has been (\w+)")
_SETTINGS = """\
[node]
name = {name}
home = {home}

[link]
nodes = ["127.0.0.1"]
bind_addr = "127.0.0.1"
port = {port}
key_file = {key_file}

[intervals.worker]
sync_integrity = 0.5
connection_retry = 1

[intervals.master]
recalculate_integrity = 0.5

[[tree.files]]
folder = "tree/"
remove_subdirs_if_empty = true
"""


class NodeFailedError(OutriderError):
    """A process of the demo ended by itself, or said nothing in time."""

    situation = Code.DEMO_NODE


class NodeProcess:
    """One node: its home, its process, and what it has logged so far."""

    def __init__(self, role: str, name: str, base: Path, key_file: Path) -> None:
        self.role = role
        self.name = name
        self.home = base / name
        self.port = 0
        self.verdicts = 0
        self.round_seconds = 0.0
        self.bytes_sent = 0
        self.recovered = ""
        self._settings = base / f"{name}.toml"
        self._key_file = key_file
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()
        self._last_lines: deque[str] = deque(maxlen=20)
        self.home.mkdir()

    async def start(self) -> None:
        """Write the settings and start the process; a master is waited for until it listens."""
        text = {name: json.dumps(str(value)) for name, value in self._words().items()}
        self._settings.write_text(_SETTINGS.format(port=self.port, **text))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "outrider", self.role, "--config", str(self._settings)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reader = asyncio.create_task(self._read(self._process))
        if self.role == "master":
            await self.wait_until(lambda: self.port != 0)

    async def wait_until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something that a log line makes true; :class:`NodeFailedError` if it does not come."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: true() or self._has_ended)
        except TimeoutError:
            raise self._failure(f"said nothing new for {seconds:.0f} s") from None
        if not true():
            raise self._failure("ended by itself")

    def has_verdict_after(self, seen: int) -> bool:
        """Whether more than ``seen`` integrity rounds have ended well since the demo began."""
        return self.verdicts > seen

    def said(self, word: str) -> list[str]:
        """What the last lines that hold ``word`` say, without time and tags."""
        return [line.rpartition("] ")[2] for line in self._last_lines if word in line]

    async def kill(self) -> None:
        """SIGKILL: no goodbye."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, as a service manager does it."""
        await self._end(signal.SIGTERM)

    @property
    def pid(self) -> int:
        """The process's id; 0 while it does not run."""
        return self._process.pid if self._process else 0

    @property
    def _has_ended(self) -> bool:
        return self._reader is None or self._reader.done()

    def _words(self) -> dict[str, object]:
        return {"name": self.name, "home": self.home, "key_file": self._key_file}

    async def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(how)
        await self._process.wait()
        if self._reader is not None:
            await self._reader
        self._process = None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stderr is None:
            return
        async for raw in process.stderr:
            line = raw.decode(errors="replace").rstrip()
            async with self._news:
                self._learn(line)
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    def _learn(self, line: str) -> None:
        self._last_lines.append(line)
        if found := _VERDICT.search(line):
            self.verdicts += 1
            self.round_seconds = float(found[1])
        if found := _SENT.search(line):
            self.bytes_sent += int(found[1])
        if found := _LISTENING.search(line):
            self.port = int(found[1])
        if found := _STARTING.search(line):
            self.recovered = found[1]

    def _failure(self, what: str) -> NodeFailedError:
        return NodeFailedError(f"{self.name} {what}; its last lines:\n" + "\n".join(self._last_lines))
