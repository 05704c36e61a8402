"""How many requests may run and wait at one time, of all callers and of one (threats 21, 23).

The settings bound what one caller has here. But a caller may speak for many: a worker's master passes on what every
program and every worker asks of it, and all programs beside a worker are one caller for its master. Of places that
are shared so, one who floods takes at most three quarters; the others do not notice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from outrider.settings import Limits


class Quota(NamedTuple):
    """What one caller may have here: requests that run, requests that wait, bytes of both."""

    running: int
    waiting: int
    size: int


class Quotas(NamedTuple):
    """``running`` requests of all callers together, and of each what ``of_one`` says of it.

    ``running_setting`` is the key that bounds the first; empty if none does.
    """

    running: Callable[[Limits], int]
    of_one: Callable[[Limits, str], Quota]
    running_setting: str = "limits.requests_running"


def as_set(limits: Limits, _: str = "") -> Quota:
    """What the settings give every caller."""
    return Quota(limits.requests_running_per_peer, limits.requests_waiting_per_peer, limits.requests_bytes_per_peer)


def of_many(limits: Limits) -> Quota:
    """What a caller has that passes on what others ask, each of whom it has bounded as we would have."""
    running = max(limits.requests_running_per_peer, _most_of(limits.requests_running))
    others = running // limits.requests_running_per_peer
    return Quota(running, others * limits.requests_waiting_per_peer, others * limits.requests_bytes_per_peer)


def passed_on_by(caller: str) -> Quotas:
    """Requests of this node's own callers, and of ``caller``, who passes on those of others."""

    def of_one(limits: Limits, one: str) -> Quota:
        return of_many(limits) if one == caller else as_set(limits)

    return Quotas(lambda limits: limits.requests_running, of_one)


def towards_one_node() -> Quotas:
    """Requests that one other node is to answer, for whom all of them are ours: no more than it runs of one caller."""

    def of_one(limits: Limits, _: str) -> Quota:
        return as_set(limits)._replace(running=_most_of(limits.requests_running_per_peer))

    return Quotas(lambda limits: limits.requests_running_per_peer, of_one, "limits.requests_running_per_peer")


def at_once(running: int) -> Quotas:
    """Requests to something that takes ``running`` at one time."""
    return Quotas(lambda _: running, lambda limits, _: as_set(limits)._replace(running=_most_of(running)), "")


def _most_of(places: int) -> int:
    """Three quarters, and of few at least one."""
    return max(1, places * 3 // 4)


BY_SETTINGS: Final = Quotas(lambda limits: limits.requests_running, as_set)
"""Callers who speak for themselves."""
