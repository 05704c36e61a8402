"""All checks in a row: each is announced before it is made."""

from __future__ import annotations

from pathlib import Path

from tests.support.patients import patient

from outrider.doctor import CHECKS, examine


def test_each_check_is_announced_before_its_findings(tmp_path: Path) -> None:
    begun: list[str] = []
    for finding in examine(patient(tmp_path), begun.append):
        assert finding.check == begun[-1]
    assert begun == list(CHECKS)
