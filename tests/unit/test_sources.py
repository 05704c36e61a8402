"""What no linter says of the sources: where ``unsafe`` may stand, and that each block tells why it is sound."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

REPO = Path(__file__).parents[2]
UNSAFE = re.compile(r"\bunsafe\b(?!_code)")
ALLOWED = ("rust/core/src/digest/", "rust/core/tests/digest.rs")
"""The lanes of the digest, and the test that puts them beside pages that may not be touched."""


def sources() -> dict[str, list[str]]:
    found = (path for path in (REPO / "rust").rglob("*.rs") if "target" not in path.parts)
    return {str(path.relative_to(REPO)): path.read_text("utf-8").splitlines() for path in found}


def code(line: str) -> str:
    return line.partition("//")[0]


def test_unsafe_stands_in_the_lanes_of_the_digest_alone() -> None:
    found = {name for name, lines in sources().items() if any(UNSAFE.search(code(line)) for line in lines)}
    assert found
    assert {name for name in found if not name.startswith(ALLOWED)} == set()
    may = {name for name, lines in sources().items() if any("allow(unsafe_code" in line for line in lines)}
    assert may == found


def test_the_compiler_refuses_it_everywhere_else() -> None:
    workspace = tomllib.loads((REPO / "Cargo.toml").read_text())["workspace"]
    assert workspace["lints"]["rust"]["unsafe_code"] == "deny"
    for member in workspace["members"]:
        assert tomllib.loads((REPO / member / "Cargo.toml").read_text())["lints"]["workspace"] is True


def test_each_block_says_why_it_is_sound() -> None:
    for name, lines in sources().items():
        for number, line in enumerate(lines):
            if UNSAFE.search(code(line)):
                before = "\n".join(lines[max(0, number - 4) : number])
                assert "SAFETY" in before, f"{name}:{number + 1} does not say why"
