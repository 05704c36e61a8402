"""The display of what takes long: when it is drawn, what it says, how it ends."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outrider._native import FileRule, FilesTable, Scan, ScanProgress, Tree
from outrider.cli import progress
from outrider.cli.options import Interrupted
from outrider.cli.progress import Count, count_of, scanned, shown

TABLE = FilesTable([FileRule("a/")])


@contextlib.contextmanager
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard error is a terminal; this is the end at which a person sits.

    No fixture: pytest gives every phase of a test another standard error.
    """
    outer, inner = pty.openpty()
    with monkeypatch.context() as patch, os.fdopen(inner, "w") as file:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "120")
        patch.setattr(sys, "stderr", file)
        yield outer
    os.close(outer)


def until(terminal: int, wanted: str) -> None:
    """Read until it has been drawn; the test's own limit of time is the only one."""
    seen = b""
    while wanted.encode() not in seen:
        seen += os.read(terminal, 4096)


def test_what_it_is_and_how_far_is_drawn_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SOON_S", 0)
    now = Count(1, 3, "1 of 3 things")
    with a_terminal(monkeypatch) as terminal, shown("counting [red]\x1b[2J", count=lambda: now):
        until(terminal, "counting [red]\\x1b[2J")
        until(terminal, "1 of 3 things")
        now = Count(3, 3, "3 of 3 things")
        until(terminal, "3 of 3 things")
        until(terminal, "0:00:01")  # complete is not over: the clock goes on


def test_a_wait_without_a_count_shows_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SOON_S", 0)
    with a_terminal(monkeypatch) as terminal, shown("waiting for the master"):
        until(terminal, "waiting for the master")
        until(terminal, "0:00:01")


def test_what_is_over_soon_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SOON_S", 3600)
    with a_terminal(monkeypatch) as terminal:
        with shown("counting", count=lambda: Count(0, None, "0")):
            pass
        os.set_blocking(terminal, False)
        with pytest.raises(BlockingIOError):
            os.read(terminal, 1)


@pytest.mark.parametrize("force", ["", "1"])
def test_where_no_terminal_is_nothing_is_drawn(
    force: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", force)  # colours of a log are no reason to animate it
    monkeypatch.setattr(progress, "_Display", None)
    with shown("counting", count=lambda: Count(0, None, "0")):
        pass
    assert capsys.readouterr() == ("", "")


def test_nothing_is_drawn_for_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_Display", None)
    with a_terminal(monkeypatch), shown("counting", quiet=True):
        pass


def test_an_interruption_says_what_is_left_as_it_is_then() -> None:
    done: list[str] = []

    def work(left: str | Callable[[], str]) -> None:
        with shown("counting", left=left):
            done.append("one")
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as told:
        work(lambda: f"{len(done)} are done")
    assert (told.value.message, told.value.exit_code) == ("interrupted: 1 are done", 130)
    with pytest.raises(Interrupted, match="interrupted: nothing was changed"):
        work("nothing was changed")


def test_a_scan_counts_files_of_as_many_as_there_were() -> None:
    seen = ScanProgress()
    assert count_of(seen) == (0, None, "0 files, 0 bytes read")
    seen.expect(1200)
    assert count_of(seen) == (0, 1200, "0 of 1,200 files, 0 bytes read")


def test_more_files_than_there_were_are_counted_without_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_bytes(b"1")
    (tmp_path / "a/two").write_bytes(b"22")
    seen = ScanProgress()
    seen.expect(1)
    Tree(str(tmp_path), TABLE).scan(rehash=True, progress=seen)
    assert count_of(seen) == (2, None, "2 files, 3 bytes read")


def test_ctrl_c_ends_a_scan_that_would_take_hours(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with (tmp_path / "a/hole").open("wb") as hole:
        hole.truncate(1 << 40)
    ended: list[ScanProgress] = []

    def work(seen: ScanProgress) -> Scan:
        ended.append(seen)
        os.kill(os.getpid(), signal.SIGINT)
        return Tree(str(tmp_path), TABLE).scan(progress=seen)

    with pytest.raises(Interrupted, match="interrupted: nothing was changed"):
        scanned("looking", work, quiet=True)
    assert ended[0].bytes < 1 << 40
    assert not (tmp_path / ".outrider/index").exists()
