"""A node with something mounted in its home, in a mount namespace of its own, which goes with it.

A test looks in through ``/proc``. Where nothing can be mounted it is skipped and says why; with
``OUTRIDER_MOUNTS=required`` in the environment, as the gate sets it wherever that can be done, it fails.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest
from tests.support.folders import files_below
from tests.support.processes import Node

REQUIRED = "OUTRIDER_MOUNTS"


class Mounted(Node):
    """A worker that starts once ``mounts``, shell words in its home (``$0``), is done."""

    def __init__(self, home: Path, mounts: str, port: int) -> None:
        needed()
        super().__init__("worker", home, port=port)
        self.within = ["unshare", "--mount", "sh", "-ec", f'(cd "$0" && {mounts}); exec "$@"', str(home)]

    @property
    def seen(self) -> Path:
        """Its home, as it sees it."""
        return Path(f"/proc/{self.pid}/root{self.home}")

    def tree(self) -> dict[str, bytes]:
        """As the worker sees it."""
        return files_below(self.seen, "tree")

    def run(self, *command: str) -> None:
        """Run a command where the worker sees what it changes."""
        subprocess.run(["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--", *command], check=True, cwd="/")


def needed() -> None:
    """Skip the test, or fail it, where nothing can be mounted."""
    if why := _refusal():
        text = f"nothing can be mounted here, run it as root: {why}"
        (pytest.fail if os.environ.get(REQUIRED) == "required" else pytest.skip)(text)


@cache
def _refusal() -> str | None:
    """Why nothing can be mounted here, if so."""
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        done = subprocess.run(probe, capture_output=True, check=False, text=True)
    except FileNotFoundError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else None
