"""A command of the settings judges the new tree: if it fails, the tree goes back to what it was (threats 39)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from outrider.ports import Threads
from outrider.printable import printable
from outrider.settings import Settings

_SAID: Final = 300
"""Characters of what the command printed that are told."""


class Trial:
    """Runs the command; :meth:`failure` says why the tree does not pass, or nothing."""

    def __init__(self, settings: Settings, threads: Threads) -> None:
        self._command = settings.generations.check_command
        self._timeout_s = settings.generations.check_timeout
        self._home = settings.node.home.resolve()
        self._threads = threads

    async def failure(self) -> str:
        """Why the tree as it stands is not good; empty if it is, or if nothing is to be asked."""
        if not self._command:
            return ""
        return await self._threads.run(_run, self._command, self._home, self._timeout_s)


def _run(command: tuple[str, ...], home: Path, timeout_s: float) -> str:
    try:
        ended = subprocess.run(  # noqa: S603  (the command stands in this node's own settings)
            command,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the check {command[0]} did not end within {timeout_s:g} s (generations.check_timeout)"
    except OSError as error:
        return f"the check {command[0]} cannot be run: {error.strerror} (generations.check_command)"
    if ended.returncode == 0:
        return ""
    said = printable(ended.stdout.decode(errors="replace").strip())[-_SAID:]
    return f"the check {command[0]} ended with {ended.returncode}" + (f": {said}" if said else "")
