"""Whether a worker may begin an integrity round (specification 5.3)."""

from __future__ import annotations

from collections.abc import Callable


class Permission:
    """One worker's turn at the master.

    True is answered once for each scan of the master's files, and only while no round of this
    worker runs. A lock that is held longer than ``max_locked_s`` says is taken for stuck and released.
    """

    def __init__(self, max_locked_s: Callable[[], float]) -> None:
        self._max_locked_s = max_locked_s
        self._asked_at_scan = -1
        self._locked_since: float | None = None

    @property
    def free(self) -> bool:
        """Whether no round runs."""
        return self._locked_since is None

    def ask(self, scan: int, now: float) -> bool:
        """The answer to ``syn_i_w_m_p`` while the master's last scan has number ``scan``; it uses up the turn."""
        if self._locked_since is not None and now - self._locked_since > self._max_locked_s():
            self._locked_since = None
        fresh = self._asked_at_scan != scan
        self._asked_at_scan = scan
        return fresh and self.free

    def lock(self, now: float) -> None:
        """A round begins."""
        self._locked_since = now

    def release(self) -> None:
        """The round is over, however it ended."""
        self._locked_since = None
