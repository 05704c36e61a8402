"""A real browser without a window: what a page shows after its scripts have run, and pictures of it."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

CHROMIUM: Final = shutil.which("chromium")
_SETTLED_MS: Final = 3000
"""Of virtual time, in which the page has asked its node at least once."""


class Row(NamedTuple):
    """A node in the page's table: what its cells say."""

    in_step: bool
    generation: int
    text: str


class Shown:
    """A page as a person sees it."""

    def __init__(self, dom: str) -> None:
        self.dom = dom

    def text(self, name: str) -> str:
        """What stands in the element with this id."""
        found = re.search(rf'<(\w+)[^>]*id="{name}"[^>]*>(.*?)</\1>', self.dom, re.DOTALL)
        assert found, f"nothing has the id {name}"
        return _plain(found[2])

    def nodes(self) -> dict[str, Row]:
        """The rows of the table, by the name of the node."""
        rows = re.findall(
            r'<tr role="row" data-node="([^"]*)" data-in-step="(true|false)" data-generation="(\d+)">(.*?)</tr>',
            self.dom,
            re.DOTALL,
        )
        return {
            html.unescape(name): Row(in_step == "true", int(generation), _plain(cells))
            for name, in_step, generation, cells in rows
        }

    def label(self, chart: str) -> str:
        """How a chart is described to those who do not see it."""
        found = re.search(rf'id="{chart}">.*?aria-label="([^"]*)"', self.dom, re.DOTALL)
        return html.unescape(found[1]) if found else ""


def visit(url: str) -> Shown:
    """Open a page and look at it once it has settled."""
    return Shown(_run("--dump-dom", url).decode())


def picture(url: str, file: Path, *, width: int, height: int, dark: bool = False) -> None:
    """Take a picture of a page."""
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    _run(f"--screenshot={file}", f"--window-size={width},{height}", "--hide-scrollbars", scheme, url)


def _run(*words: str) -> bytes:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="outrider-browser-") as profile:
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--lang=en"),
            *(f"--user-data-dir={profile}", f"--virtual-time-budget={_SETTLED_MS}"),
            *words,
        ]
        done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    return done.stdout


def _plain(inner: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", inner)).split())
