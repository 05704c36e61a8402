"""A command of ours at a terminal, as a person sees it: keys go in, what is drawn comes out."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from types import TracebackType
from typing import Self

COMMAND = (sys.executable, "-m", "outrider")
_CTRL_C = b"\x03"


class AtTerminal:
    """``outrider`` with these arguments; standard input and error are a terminal, standard output is a pipe."""

    def __init__(self, *arguments: object) -> None:
        self.seen = ""
        self._outer, self._inner = pty.openpty()
        fcntl.ioctl(self._inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        self._process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=self._inner,
            stdout=subprocess.PIPE,
            stderr=self._inner,
            env=os.environ | {"TERM": "xterm", "LANG": "C.UTF-8"},
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509  (one thread, and two system calls)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whatever happened, nothing is left running."""
        self._process.kill()
        with self._process:  # waits, and closes the pipe
            pass
        os.close(self._outer)
        if self._inner >= 0:
            os.close(self._inner)

    def until(self, wanted: str) -> None:
        """Read until this has been drawn; fails if the command ends without it."""
        self._leave()
        while wanted not in self.seen:
            assert self._read(), f"it ended, and {wanted!r} was not drawn: {self.seen!r}"

    def ctrl_c(self) -> None:
        """Press it: the terminal signals the command."""
        os.write(self._outer, _CTRL_C)

    def ended(self) -> tuple[int, str]:
        """Read to the end: the exit code and standard output."""
        self._leave()
        out, _ = self._process.communicate()
        while self._read():
            pass
        return self._process.returncode, out.decode()

    @property
    def last(self) -> str:
        """What stands on the terminal when all that was erased is gone."""
        return self.seen.rpartition("\x1b[2K")[2].replace("\r\n", "\n")

    def _leave(self) -> None:
        """The command alone has the other end then, and reading ends with it."""
        if self._inner >= 0:
            os.close(self._inner)
            self._inner = -1

    def _read(self) -> bool:
        try:
            part = os.read(self._outer, 65_536)
        except OSError:  # the other end is closed
            return False
        self.seen += part.decode(errors="replace")
        return bool(part)


def hear_ctrl_c() -> None:
    """Between fork and exec: SIGINT ends the command, also where whoever runs the tests ignores it (``nohup make``)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _take_terminal() -> None:
    """It controls the session, so that Ctrl-C reaches the command."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    hear_ctrl_c()
