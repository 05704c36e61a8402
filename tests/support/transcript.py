"""A page that is a transcript: its commands, typed into one shell, and whether it shows what they print."""

from __future__ import annotations

import difflib
import re
import subprocess
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, Self

_FENCE: Final = re.compile(r"^```(sh|text)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
_LEFT_OUT: Final = "..."
_DIFFERS: Final = (  # what is another each time, in this order
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([.,]\d+)?Z?", "TIME"),
    (r"uptime \d+:\d\d:\d\d", "uptime"),
    (r"pid \d+", "pid"),
    (r"[\d.,]+ m?s\b", "SECONDS"),
    (r"[\d.,]+ (B|KB|MB)(?!\w)", "SIZE"),
    (r"[─━]+", "─"),
    (r"\s+", " "),
    (r"(TIME \d+) [\d,]+ (?=[0-9a-f]{16} ?$)", r"\1 KEPT "),
)


class Step(NamedTuple):
    """Something to type and what is then printed; or, where there is nothing to type, what stands at an address."""

    typed: str
    shown: str
    address: str = ""


def steps_of(page: Path) -> Iterator[Step]:
    """The steps in the order of the page: a block of commands and, right behind it, that of its output."""
    text = page.read_text("utf-8")
    blocks = list(_FENCE.finditer(text))
    assert len(blocks) == text.count("\n```") / 2, "a block that is neither sh nor text"
    for before, block in pairwise((None, *blocks)):
        assert block is not None
        between = text[before.end() if before else 0 : block.start()]
        kind, words = block.groups()
        follows = before is not None and before[1] == "sh" and not between.strip()
        if kind == "sh":
            after = _FENCE.match(text, block.end() + 1)
            yield Step(words, after[2] if after and after[1] == "text" else "")
        elif not follows:
            yield Step("", words, re.findall(r"<(http://[^>]+)>", between)[-1])


class Shell:
    """A shell that a person types into; it ends at the first command that fails."""

    def __init__(self, folder: Path, environment: Mapping[str, str], within_s: int) -> None:
        self._bash = subprocess.Popen(
            ["timeout", "--kill-after=5", str(within_s), "bash", "--norc", "-e"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.close()
        self._bash.wait()
        self._bash.stdout.close()

    def type(self, commands: str) -> str:
        """What they print; an :class:`AssertionError` if one of them fails."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{{\n{commands}\n}} </dev/null\necho ' done'\n")
        self._bash.stdin.flush()
        lines: list[str] = []
        for line in self._bash.stdout:
            if line == " done\n":
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"a command failed, or took too long:\n{commands}\n{''.join(lines)}")


def drift(shown: str, printed: str) -> str:
    """How the page differs from what was printed, line by line; empty if it does not."""
    wanted, found = ([_same(line) for line in text.splitlines() if line.strip()] for text in (shown, printed))
    pattern = "".join(r"(?:.*\n)*?" if line == _LEFT_OUT else re.escape(line) + r"\n" for line in wanted)
    if re.fullmatch(pattern, "".join(f"{line}\n" for line in found)):
        return ""
    return "\n".join(difflib.ndiff(wanted, found))


def _same(line: str) -> str:
    for what, name in _DIFFERS:
        line = re.sub(what, name, line)
    return line.strip()
