"""A command of the settings judges the new tree: what it says, and what keeps it from saying anything."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from outrider.settings import Live, Settings
from outrider.worker.trial import Trial
from outrider.world import ThreadPool


def failure(home: Path, *command: str, timeout: float = 30) -> str:
    settings = Settings.from_mapping(
        {
            "node.home": str(home),
            "generations.check_command": list(command),
            "generations.check_timeout": timeout,
        }
    )
    return asyncio.run(Trial(Live(settings), ThreadPool(1)).failure())


def test_without_a_command_every_tree_is_good(tmp_path: Path) -> None:
    assert failure(tmp_path) == ""


def test_the_command_runs_in_the_home(tmp_path: Path) -> None:
    (tmp_path / "good.conf").write_text("")
    assert failure(tmp_path, "test", "-f", "good.conf") == ""
    assert failure(tmp_path, "test", "-f", "absent.conf") == "the check test ended with 1"


def test_what_it_prints_is_told_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    said = failure(tmp_path, sys.executable, "-c", "print('x' * 999 + '\\x1b[31m line 3 is wrong'); exit(7)")
    assert "ended with 7: xxx" in said
    assert said.endswith("\\x1b[31m line 3 is wrong")
    assert len(said) < 400


@pytest.mark.parametrize(
    ("command", "timeout", "said"),
    [
        (["/no/such/program"], 30, "cannot be run: No such file or directory (generations.check_command)"),
        (["sleep", "60"], 0.05, "did not end within 0.05 s (generations.check_timeout)"),
    ],
)
def test_a_check_that_says_nothing_fails(tmp_path: Path, command: list[str], timeout: float, said: str) -> None:
    assert said in failure(tmp_path, *command, timeout=timeout)
