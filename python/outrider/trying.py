"""Tries something again: the pause, what the log hears of it, and what the status shows of it.

The numbers are those of :mod:`outrider.retry`. A pause ends early when what the error waits for has happened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Self

from outrider.errors import Awaits, Nature, OutriderError
from outrider.logs import TaskLogger
from outrider.ports import Ports
from outrider.printable import counted
from outrider.retry import PERMANENT_S, Streak, Tell
from outrider.status import Failure, Retrying, Status
from outrider.store.awaited import Awaited

STABLE_S: Final = 60
"""What has gone on for this long works."""
_LOOK_S: Final = 0.5
"""Between two looks at whether the cause is gone."""


class Tries:
    """The tries of one thing, ``name`` in the log and the status; the status forgets them when the block ends.

    ``cap_s`` is the longest pause, or says it each time: settings may change.

    Single failures of the class ``quiet`` are a part of its work, and for the debugging log only.
    """

    def __init__(
        self,
        name: str,
        ports: Ports,
        log: TaskLogger,
        status: Status,
        *,
        base_s: float,
        cap_s: float | Callable[[], float],
        quiet: type[OutriderError] | None = None,
    ) -> None:
        self._name = name
        self._ports = ports
        self._log = log
        self._status = status
        self._streak = Streak(ports.random, base_s=base_s, cap_s=cap_s if callable(cap_s) else lambda: cap_s)
        self._quiet = quiet
        self._heard = False  # by whoever reads the log
        self._pause_s = 0.0
        self._awaits: Awaits | None = None
        self._shown: Retrying | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nobody tries any more."""
        self.forget()

    def forget(self) -> None:
        """The status shows nothing of it any more; for tries that no block holds."""
        self._show(None)

    def failed(self, error: Exception, *, asked: bool = False) -> None:
        """Tell and count a failure; :meth:`pause` comes next, unless it is done when the peer has ``asked`` for it."""
        now = self._ports.monotonic()
        again = self._streak.failed(error, now)
        self._pause_s = again.pause_s
        self._awaits = error.awaits if isinstance(error, OutriderError) else None
        nature = error.nature if isinstance(error, OutriderError) else Nature.TEMPORARY
        wall = self._ports.wall()
        code = error.situation if isinstance(error, OutriderError) else ""
        reason = str(error) or type(error).__name__
        if self._quiet is None or not isinstance(error, self._quiet):
            self._status.failure(Failure(name=self._name, reason=reason, nature=nature.value, at=wall, code=code))
        self._show(
            Retrying(
                nature=nature.value,
                failures=self._streak.failures,
                since=wall - (now - self._streak.since),
                reason=reason,
                next_try=None if asked else wall + again.pause_s,
                awaits=str(self._awaits or ""),
                code=code,
            )
        )
        self._tell(error, again.tell, nature, "" if asked else f", again in {again.pause_s:.1f} s")

    def later(self) -> None:
        """Nothing failed, but the peer has others to serve: :meth:`pause` comes next."""
        self._pause_s, self._awaits = self._streak.later(), None

    async def pause(self) -> None:
        """Wait as long as the last failure asks for, or until its cause is gone."""
        if self._awaits is None:
            await self._ports.sleep(self._pause_s)
            return
        end = self._ports.monotonic() + self._pause_s
        awaited = Awaited(self._awaits, self._ports)
        await awaited.begin()
        while (left := end - self._ports.monotonic()) > 0:
            await self._ports.sleep(min(_LOOK_S, left))
            if await awaited.gone():
                self._log.info("%s: the %s is another now; trying again at once", self._name, self._awaits)
                return

    def worked(self) -> None:
        """It works: say so, if a person was alarmed."""
        over = self._streak.worked(self._ports.monotonic())
        self._show(None)
        if over is None:
            return
        level = logging.WARNING if over.alarmed else logging.INFO if self._heard else logging.DEBUG
        self._heard = False
        self._log.log(
            level, "%s works again after %s in %s", self._name, counted(over.failures, "failure"), _span(over.seconds)
        )

    @contextmanager
    def holding(self) -> Iterator[None]:
        """It works if the block lasts."""
        timer = asyncio.get_running_loop().call_later(STABLE_S, self.worked)
        try:
            yield
        finally:
            timer.cancel()

    def _show(self, retrying: Retrying | None) -> None:
        if retrying != self._shown:
            self._shown = retrying
            self._status.retrying(self._name, retrying)

    def _tell(self, error: Exception, tell: Tell, nature: Nature, when: str) -> None:
        defect = None if isinstance(error, OutriderError) else error  # told in full
        reason = error if str(error) else type(error).__name__
        unheard = self._quiet is not None and isinstance(error, self._quiet) and tell is Tell.LINE
        if tell is Tell.NOTHING or unheard:
            self._log.debug("%s failed%s: %s", self._name, when, reason)
            return
        self._heard = True
        if tell is Tell.LINE:
            level, text = logging.ERROR if defect else logging.WARNING, "%s failed%s: %s"
            self._log.log(level, text, self._name, when, reason, exc_info=defect)
        elif nature is Nature.PERMANENT:
            again = f"; trying again every {PERMANENT_S} s" if when else ""
            self._log.error("%s: %s%s", self._name, reason, again)
        else:
            text = "%s failed %d times within %s, and more of it is only counted: %s"
            span = _span(self._ports.monotonic() - self._streak.since)
            self._log.error(text, self._name, self._streak.failures, span, reason, exc_info=defect)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004  (two minutes)
