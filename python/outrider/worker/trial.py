"""A command of the settings judges the new tree: if it fails, the tree goes back to what it was (threats 39)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from outrider.ports import Threads
from outrider.printable import printable
from outrider.settings import Live

_SAID: Final = 300
"""Characters of what the command printed that are told."""


class Trial:
    """Runs the command; :meth:`failure` says why the tree does not pass, or nothing."""

    def __init__(self, live: Live, threads: Threads) -> None:
        self._live = live
        self._home = live.now.node.home.resolve()
        self._threads = threads

    async def failure(self) -> str:
        """Why the tree as it stands is not good; empty if it is, or if nothing is to be asked."""
        terms = self._live.now.generations
        if not terms.check_command:
            return ""
        return await self._threads.run(_run, terms.check_command, self._home, terms.check_timeout)


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
