"""Homes to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from outrider.doctor import Finding, Patient
from outrider.doctor.patient import Role
from outrider.settings import Settings
from outrider.status import LinkState, Snapshot

KEY = "0123456789abcdefghijklmnopqrstuV"


def patient(home: Path, role: Role | None = "worker", status: Snapshot | None = None, **overrides: str) -> Patient:
    """A home with a tree of one file; ``overrides`` are keys with ``__`` for the dot."""
    (home / "etc/rules/sub").mkdir(parents=True, exist_ok=True)
    (home / "etc/rules/sub/a").write_bytes(b"a" * 1000)
    given = {"node.home": str(home), "link.key": KEY, "link.nodes": "127.0.0.1"}
    given |= {key.replace("__", "."): value for key, value in overrides.items()}
    return Patient(Settings.load(None, environ={}, overrides=given), role, status, "no node answers")


def running(**said: Any) -> Snapshot:
    """What a node says of itself."""
    link = said.pop("link", LinkState(connected=True, peer="192.0.2.1"))
    return Snapshot(link=link, **{"counters": {}, "limits_hit": {}, "kinds": {}} | said)


def states(findings: list[Finding]) -> list[str]:
    """How each finding stands."""
    return [one.state for one in findings]
