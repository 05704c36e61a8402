"""Two network namespaces with a cable between them: real loss, and a cable that is pulled out.

Where a namespace cannot be made, :func:`cable` skips the test and says why; with ``OUTRIDER_NAMESPACES=required`` in
the environment, as the gate sets it wherever they can be made, it fails.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

MASTER_ADDRESS = "10.77.0.1"
WORKER_ADDRESS = "10.77.0.2"
REQUIRED = "OUTRIDER_NAMESPACES"


class Cable:
    """The cable between the namespaces ``master`` and ``worker``."""

    def __init__(self, name: str) -> None:
        self.master, self.worker = f"{name}-m", f"{name}-w"

    def lay(self) -> None:
        """Make both namespaces and connect them."""
        for namespace in (self.master, self.worker):
            _run("ip", "netns", "add", namespace)
        _run("ip", "link", "add", "cable", "netns", self.master, "type", "veth", "peer", "cable", "netns", self.worker)
        for namespace, address in ((self.master, MASTER_ADDRESS), (self.worker, WORKER_ADDRESS)):
            self._inside(namespace, "ip", "address", "add", f"{address}/24", "dev", "cable")
            self._inside(namespace, "ip", "link", "set", "lo", "up")
            self._inside(namespace, "ip", "link", "set", "cable", "up")
        self.lose(0)

    def remove(self) -> None:
        """Both namespaces go, and the cable with them."""
        for namespace in (self.master, self.worker):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)

    def lose(self, share: float) -> None:
        """From now on so much of what goes to the worker gets lost; no TCP comes through where both ways lose half."""
        self._inside(self.worker, "iptables", "-F", "INPUT")
        if share:
            chance = ["-m", "statistic", "--mode", "random", "--probability", str(share)]
            self._inside(self.worker, "iptables", "-A", "INPUT", *chance, "-j", "DROP")

    def pull(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self._inside(self.worker, "ip", "link", "set", "cable", "down")

    def plug(self) -> None:
        """It is in again."""
        self._inside(self.worker, "ip", "link", "set", "cable", "up")

    def within(self, namespace: str) -> list[str]:
        """The command under which a process runs in one of the two."""
        return ["ip", "netns", "exec", namespace]

    def _inside(self, namespace: str, *command: str) -> None:
        _run(*self.within(namespace), *command)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def cable(name: str) -> Iterator[Cable]:
    """A cable of this name, of at most eight letters, for one test."""
    made = Cable(f"{name}{os.getpid()}")
    try:
        made.lay()
    except OSError as error:
        made.remove()
        why = f"no network namespaces with iptables here: {error}"
        (pytest.fail if os.environ.get(REQUIRED) == "required" else pytest.skip)(why)
    try:
        yield made
    finally:
        made.remove()
