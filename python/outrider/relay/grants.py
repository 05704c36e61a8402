"""Who may ask this node for what: ``[grants]`` of the settings, looked at once where a request comes in (threat 14).

A grant is a pattern of names of calls, e.g. ``outrider.*``. By itself everybody may ask for everything that is in the
table of calls, as with the original; what changes something is for programs of the machine alone, whatever is granted.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from outrider.errors import Refusal
from outrider.protocol import faults
from outrider.relay.context import OF_LOCAL
from outrider.settings import Live
from outrider.status import Status

Granted = Literal["programs", "master", "workers_at_master", "workers_at_workers"]


class Grants:
    """See the module."""

    def __init__(self, live: Live, node_type: str, status: Status) -> None:
        self._live = live
        self._type = node_type
        self._status = status

    def check(self, caller: str, call: str, *, elsewhere: bool = False) -> None:
        """:class:`Refusal`, counted, if ``caller`` may not ask for ``call``; ``elsewhere``: of other nodes."""
        granted = self._of(caller, elsewhere=elsewhere)
        patterns: tuple[str, ...] = getattr(self._live.now.grants, granted)
        if _matches(call, patterns):
            return
        self._status.count(f"not_granted.grants.{granted}")
        raise Refusal(
            faults.DENIED, f"the call {call} is not granted: grants.{granted} of this {self._type} has no such name"
        )

    def _of(self, caller: str, *, elsewhere: bool) -> Granted:
        if caller.startswith(OF_LOCAL):
            return "programs"
        if self._type == "worker":
            return "master"
        return "workers_at_workers" if elsewhere else "workers_at_master"


@lru_cache(maxsize=1024)
def _matches(call: str, patterns: tuple[str, ...]) -> bool:
    """Kept: few calls are asked for, each of them often, and every request is looked at twice."""
    return any(fnmatchcase(call, pattern) for pattern in patterns)
