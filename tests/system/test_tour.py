"""The tour, as a new user goes it: every command of the page in one shell, in order, and what the page shows of them.

Ports that are free take the place of the page's. With ``OUTRIDER_WHEEL``, a folder that holds one, the wheel is
installed as the page does it (``make tour``); without, that step is left out, and this environment's commands are used.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.browser import CHROMIUM, visit
from tests.support.processes import free_port, wait_until
from tests.support.transcript import Shell, Step, drift, steps_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tour.md"
WHEEL = os.environ.get("OUTRIDER_WHEEL")
PORTS = ("1516", "1517", "1518")
WITHIN_S = 300
"""For the whole page, where it hangs."""


class Tour:
    """The page's words in this folder, and what is said here in the page's words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {port: str(free_port()) for port in PORTS}
        self._bin = folder / "venv/bin" if WHEEL else Path(sys.executable).parent

    def here(self, text: str) -> str:
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text

    def on_the_page(self, text: str) -> str:
        for port, free in self._ports.items():
            text = re.sub(rf"\b{free}\b", port, text)
        return text.replace(str(self._bin), "/home/you/tour/venv/bin").replace(str(self.folder), "/home/you/tour")

    def environment(self) -> dict[str, str]:
        """As a person's on a machine that knows nothing of this repository."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OUTRIDER_", "PYTHON"))}
        python = Path(sys.base_prefix) / "bin" if WHEEL else self._bin
        return kept | {
            "PATH": f"{python}:/usr/bin:/bin",
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }


@pytest.fixture
def tour() -> Iterator[Tour]:
    with tempfile.TemporaryDirectory(prefix="o") as base:  # a short path: the local socket's has a limit
        yield Tour(Path(base))
        pid = Path(base, "supervisord.pid")
        if pid.exists():  # the page did not come to its end
            end(int(pid.read_text()))


def end(supervisor: int) -> None:
    """Have Supervisor end what it runs, and itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{supervisor}").exists(), "Supervisor to end")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
def test_the_page_shows_what_a_new_user_sees_step_by_step(tour: Tour) -> None:
    assert shutil.which("curl"), "the page needs curl"
    steps = list(steps_of(PAGE))
    assert [bool(step.address) for step in steps].count(True) == 1
    if WHEEL:
        (wheel,) = (ROOT / WHEEL).glob("outrider-*.whl")
        shutil.copy(wheel, tour.folder)
    with Shell(tour.folder, tour.environment(), WITHIN_S) as shell:
        for step in steps:
            if "pip install" in step.typed and not WHEEL:
                continue
            printed = visited(tour, step) if step.address else shell.type(tour.here(step.typed))
            differs = drift(step.shown, tour.on_the_page(printed))
            assert not differs, f"{step.typed or step.address}\n{differs}"
            assert "Traceback" not in printed
    pid = tour.folder / "supervisord.pid"
    wait_until(lambda: not pid.exists(), "Supervisor to end")
    for log in ("master.log", "worker.log"):
        assert "Traceback" not in (tour.folder / log).read_text("utf-8")


def visited(tour: Tour, step: Step) -> str:
    """The lines that the page names, as far as the browser shows them."""
    lines = step.shown.splitlines()

    def seen() -> str:
        shown = visit(tour.here(step.address))
        words = " ".join((shown.text("summary"), *shown.nodes()))
        return "".join(f"{line}\n" for line in lines if line in words)

    found = seen()
    if found.splitlines() != lines:  # it comes with the next keep-alive
        wait_until(lambda: seen().splitlines() == lines, "the page to show it")
        found = seen()
    return found


def test_a_page_that_drifts_is_told_and_what_differs_each_time_is_not() -> None:
    shown = "worker  RUNNING   pid 12, uptime 0:00:01\n...\n2026-01-31 12:00:00,1 WARN exited\n* 2  0.10 s  672 B\n"
    printed = "worker RUNNING pid 34567, uptime 0:01:00\nmore\n2027-02-01 01:02:03,4 WARN exited\n* 2 11.2 ms  1.3 KB\n"
    assert drift(shown, printed) == ""
    assert "- worker RUNNING" in drift(shown, printed.replace("RUNNING", "STARTING"))
    assert "+ * 3 SECONDS" in drift(shown, printed.replace("* 2", "* 3"))
    assert "+ one more" in drift(shown, printed + "one more\n")
    assert drift(shown, printed.replace("more\n", "")) == ""
    assert drift("", "") == ""
    assert drift("", "something\n")
