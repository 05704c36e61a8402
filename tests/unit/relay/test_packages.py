"""Packages bring calls by entry points; one that is broken is left out, the others load."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tests.support.loop import run
from tests.support.relay import context_of

from outrider.protocol.api import Request
from outrider.relay.builtin import builtin
from outrider.relay.calls import Calls
from outrider.relay.packages import GROUP, Found, load_packages

PACKAGE = """
from outrider.relay.handlers import Handlers

handlers = Handlers()

@handlers.call("{name}")
async def double(*, number: int) -> int:
    return 2 * number
"""


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in [name for name in sys.modules if name.startswith("orp_")]:
        monkeypatch.delitem(sys.modules, module)
    return tmp_path


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=GROUP)


def test_a_package_s_calls_stand_in_the_table(brought: Path) -> None:
    (brought / "orp_good.py").write_text(PACKAGE.format(name="acme.double"))
    table = builtin()
    assert load_packages(table, [point("good", "orp_good:handlers")]) == [
        Found(name="good", package="", target="orp_good:handlers", calls=("acme.double",))
    ]

    async def story() -> bytes:
        return await Calls(table, context_of(table)).answer(Request(call="acme.double", f_kwargs={"number": 4}), "a")

    assert run(story()) == b"8"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise RuntimeError('no licence')", "it cannot be imported: RuntimeError: no licence"),
        ("import sys; sys.exit(1)", "it cannot be imported: SystemExit: 1"),
        ("syntax error", "it cannot be imported: SyntaxError"),
        ("import no_such_module", "it cannot be imported: ModuleNotFoundError"),
        ("", "it cannot be imported: AttributeError"),
        ("handlers = 5", "is no outrider.relay.handlers.Handlers"),
        (PACKAGE.format(name="outrider.ping"), "the name outrider.ping is kept for Outrider itself"),
        (PACKAGE.format(name="wazuh.agent:get_agents"), "the name wazuh.agent:get_agents is taken"),
        (PACKAGE.format(name="a b"), "it cannot be imported: ValueError: 'a b' is no name for a call"),
        (PACKAGE.format(name="acme.x").replace("number: int", "number"), "needs a name and a type"),
    ],
)
def test_threat_49_a_package_that_fails_is_left_out_with_its_reason_and_others_load(
    brought: Path, text: str, why: str
) -> None:
    (brought / "orp_bad.py").write_text(text)
    (brought / "orp_fine.py").write_text(PACKAGE.format(name="acme.fine"))
    table = builtin()
    names = set(table)
    bad, fine = load_packages(table, [point("z", "orp_fine:handlers"), point("a", "orp_bad:handlers")])
    assert why in bad.refused
    assert bad.calls == ()
    assert fine.calls == ("acme.fine",)
    assert set(table) == names | {"acme.fine"}


def test_of_two_packages_with_one_name_the_first_has_it(brought: Path) -> None:
    for module in ("orp_one", "orp_two"):
        (brought / f"{module}.py").write_text(PACKAGE.format(name="acme.double"))
    table = builtin()
    one, two = load_packages(table, [point("two", "orp_two:handlers"), point("one", "orp_one:handlers")])
    assert (one.target, one.refused) == ("orp_one:handlers", "")
    assert two.refused == "the name acme.double is taken"
    assert table["acme.double"].function.__module__ == "orp_one"


def test_the_installed_packages_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        asked.append(group)
        return []

    monkeypatch.setattr("outrider.relay.packages.entry_points", entry_points)
    assert load_packages(builtin()) == []
    assert asked == ["outrider.handlers"]
