"""What a running node says of itself: its link, its rounds beside their intervals, limits that were hit."""

from __future__ import annotations

import time
from collections.abc import Iterator

from outrider.doctor.finding import Finding
from outrider.doctor.patient import Patient
from outrider.printable import counted
from outrider.settings import Settings
from outrider.status import Rounds

_ROUNDS_LATE = 3
"""So many intervals without a good round are a delay that somebody should know of."""


def node(patient: Patient) -> Iterator[Finding]:
    """Whether it runs, and how its link is."""
    if patient.status is None:
        yield Finding.warning("node", patient.silent, f"start it: outrider {patient.role or 'worker'}")
        return
    link = patient.status.link
    if patient.role == "master":
        yield Finding.good("node", "the master runs")
    elif link.connected:
        yield Finding.good("node", f"the worker runs and is connected to {link.peer}")
    else:
        why = link.reason or "the first connection is being made"
        yield Finding.bad("node", f"the worker runs and has no link: {why}", "see the check of the master below")


def rounds(patient: Patient) -> Iterator[Finding]:
    """Rounds that fail, or come late, or take longer than the pause between them; limits that were hit."""
    if patient.status is None:
        return
    pauses = _pauses(patient.settings) if patient.role == "worker" else {}
    for kind, seen in sorted(patient.status.kinds.items()):
        yield from _failing(kind, seen) if seen.last and not seen.last.ok else _slow(kind, seen, pauses.get(kind))
    for limit, times in sorted(patient.status.limits_hit.items()):
        yield Finding.warning(
            "rounds",
            f"the limit {limit} was hit {counted(times, 'time')}",
            f"find who goes beyond it in the log, or raise {limit}",
        )


def _failing(kind: str, seen: Rounds) -> Iterator[Finding]:
    detail = seen.last.detail if seen.last else ""
    yield Finding.bad(
        "rounds", f"{kind}: the last round failed: {detail}", "docs/troubleshooting.md has the usual causes"
    )


def _slow(kind: str, seen: Rounds, pause: float | None) -> Iterator[Finding]:
    if seen.last is None:
        return
    took = f"{kind}: {counted(seen.succeeded, 'good round')}, the last took {seen.last.seconds:.2f} s"
    if pause is None:
        yield Finding.good("rounds", took)
    elif seen.last.seconds > pause:
        yield Finding.warning("rounds", f"{took}, more than its interval of {pause:g} s", "raise the interval")
    elif (ago := time.time() - seen.last.started) > _ROUNDS_LATE * pause:
        yield Finding.bad(
            "rounds",
            f"{kind}: the last round began {ago:.0f} s ago, its interval is {pause:g} s",
            "look in the log for what it waits for; `outrider status` shows the rounds as they come",
        )
    else:
        yield Finding.good("rounds", took)


def _pauses(settings: Settings) -> dict[str, float]:
    worker = settings.intervals.worker
    return {"integrity": worker.sync_integrity, "agent_info": worker.sync_agent_info}
