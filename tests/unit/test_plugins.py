"""Installed packages bring calls, kinds and stores; one that is broken is refused as a whole, the others load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.loop import run
from tests.support.packages import SitePackages
from tests.support.relay import calls_of, context_of

from outrider.cli import main
from outrider.errors import SettingsError
from outrider.kinds.interface import Kind, Talk, stateless
from outrider.logs import Tag, task_logger
from outrider.plugins import HANDLERS, KINDS, STORES, Found, Plugins, load_plugins
from outrider.protocol.api import Request
from outrider.protocol.commands import Command, To
from outrider.relay.builtin import builtin
from outrider.settings import Settings

CALLS = """
from outrider import Handlers

handlers = Handlers()

@handlers.call("{name}")
async def double(*, number: int) -> int:
    return 2 * number
"""
A_KIND = """
from outrider import Command, Kind, Talk, To, stateless
from msgspec import Struct, field

class Options(Struct):
    zone: str = "UTC"

kind = Kind(
    name="{name}",
    commands=(Command(b"{command}", To.WORKER, "a test"),),
    interval_s=60,
    options=Options,
    worker=stateless(lambda link: Talk()),
)
"""
HIDES_ITS_CLASS = """
class Odd:
    @property
    def __class__(self):
        raise RuntimeError("none of your business")

thing = Odd()
"""
A_STORE = "def store(settings, ports): ..."


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SitePackages:
    return SitePackages(tmp_path, monkeypatch)


def calls(name: str) -> str:
    return CALLS.format(name=name)


def kind(name: str = "clock", command: str = "clock_now") -> str:
    return A_KIND.format(name=name, command=command)


def refusals(plugins: Plugins) -> dict[str, str]:
    return {one.package: one.refused for one in plugins.found if one.refused}


def test_where_nothing_is_installed_a_node_has_its_own() -> None:
    plugins = load_plugins()
    assert plugins.calls.keys() == builtin().keys()
    assert (plugins.kinds, plugins.stores, plugins.found) == ((), {}, ())


def test_a_package_brings_all_three(site: SitePackages) -> None:
    points = {HANDLERS: "acme = handlers", KINDS: "clock = kind", STORES: "memory = store"}
    site.install("acme", calls("acme.double") + kind() + A_STORE, points, "2.1")
    plugins = load_plugins()
    assert plugins.found == (
        Found(
            group=HANDLERS,
            name="acme",
            package="acme",
            version="2.1",
            target="orp_acme:handlers",
            brings=("acme.double",),
        ),
        Found(
            group=KINDS,
            name="clock",
            package="acme",
            version="2.1",
            target="orp_acme:kind",
            brings=("clock", "clock_now"),
        ),
        Found(group=STORES, name="memory", package="acme", version="2.1", target="orp_acme:store", brings=("memory",)),
    )
    assert [one.name for one in plugins.kinds] == ["clock"]
    assert [*plugins.stores] == ["memory"]

    async def story() -> bytes:
        table = plugins.calls
        return await calls_of(table, context_of(table)).answer(Request(call="acme.double", f_kwargs={"number": 4}), "a")

    assert run(story()) == b"8"


@pytest.mark.parametrize(
    ("group", "text", "why"),
    [
        (HANDLERS, "raise RuntimeError('no licence')", "it cannot be imported: RuntimeError: no licence"),
        (HANDLERS, "import sys; sys.exit(1)", "it cannot be imported: SystemExit: 1"),
        (KINDS, "syntax error", "it cannot be imported: SyntaxError"),
        (STORES, "import no_such_module", "it cannot be imported: ModuleNotFoundError"),
        (KINDS, "", "it cannot be imported: AttributeError"),
        (HANDLERS, "thing = 5", "is no outrider.Handlers"),
        (HANDLERS, calls("outrider.ping"), "the name outrider.ping is kept for Outrider itself"),
        (HANDLERS, calls("wazuh.agent:get_agents"), "the name wazuh.agent:get_agents is taken"),
        (HANDLERS, calls("a b"), "it cannot be imported: ValueError: 'a b' is no name for a call"),
        (HANDLERS, calls("acme.x").replace("number: int", "number"), "needs a name and a type"),
        (KINDS, "thing = 5", "is no outrider.Kind"),
        (KINDS, kind("integrity"), "the name integrity is taken by another kind"),
        (KINDS, kind(command="hello"), "claims hello, which the protocol keeps"),
        (KINDS, kind(command="syn_m_c"), "claims syn_m_c, a command of the kind integrity"),
        (KINDS, kind(command="clock_is_late"), "use 1 to 11 plain letters"),
        (KINDS, kind("host"), "the name host is taken"),
        (KINDS, kind(command="host_now"), "claims host_now, a command of the kind host"),
        (KINDS, kind().replace(' = "UTC"', ""), "has the option zone without a default"),
        (KINDS, kind().replace("zone: str", "interval: str"), "has an option named interval"),
        (KINDS, kind().replace("=60", "=-1"), "has an interval of -1 s"),
        (KINDS, kind().replace("(Struct)", ""), "has options that are no msgspec.Struct"),
        (KINDS, kind().replace('name="clock"', "name=5"), "has name = 5: it is no text"),
        (KINDS, kind().replace("commands=(", "commands=0 and ("), "has commands = 0: it is no tuple"),
        (KINDS, kind().replace('b"clock_now"', '"clock_now"'), "has a command "),
        (KINDS, kind().replace("To.WORKER", "'worker'"), "has a command "),
        (KINDS, kind().replace("=60", "='60'"), "has interval_s = '60': it is no number"),
        (KINDS, kind().replace("interval_s=60", "feature=7"), "has feature = 7: it is no text"),
        (KINDS, kind().replace("stateless(lambda link: Talk())", "7"), "has the half 7: it cannot be called"),
        (
            KINDS,
            kind().replace('"UTC"', "field(default_factory=dict().popitem)"),
            "options that cannot be made: KeyErr",
        ),
        (KINDS, HIDES_ITS_CLASS, "what it brings cannot be taken: RuntimeError: none of your business"),
        (HANDLERS, "class Odd(Exception):\n  def __str__(self): return 1 / 0\nraise Odd", "it cannot be imported: Odd"),
        (HANDLERS, "raise RuntimeError('a\\n\\x1b[2J\\udc80')", r"RuntimeError: a\n\x1b[2J\udc80"),
        (HANDLERS, "import asyncio; raise asyncio.CancelledError", "it cannot be imported: CancelledError"),
        (HANDLERS, "raise GeneratorExit", "it cannot be imported: GeneratorExit"),
        (STORES, "thing = 5", "cannot be called"),
    ],
)
def test_threat_49_a_package_that_fails_is_refused_as_a_whole_with_its_reason_and_others_load(
    site: SitePackages, group: str, text: str, why: str
) -> None:
    text = text.replace("handlers = ", "thing = handlers = ").replace("kind = ", "thing = kind = ")
    other = HANDLERS if group != HANDLERS else STORES
    site.install("bad", text + f"\nfine = lambda settings, ports: None\n{calls('bad.fine')}", {group: "bad = thing"})
    both = {group: "bad = thing", other: "fine = handlers" if other == HANDLERS else "fine = fine"}
    site.install("broken", text + f"\nfine = lambda settings, ports: None\n{calls('bad.fine')}", both)
    site.install(
        "sound", calls("sound.double") + kind("sound", "sound_now"), {HANDLERS: "a = handlers", KINDS: "b = kind"}
    )
    command = Command(b"host_now", To.WORKER, "a test")
    host = Kind(name="host", commands=(command,), worker=stateless(lambda _: Talk()))
    plugins = load_plugins([host])
    assert why in refusals(plugins)["bad"]
    assert [one.name for one in plugins.kinds] == ["host", "sound"]
    assert plugins.calls.keys() == builtin().keys() | {"sound.double"}
    assert plugins.stores == {}
    assert all(one.brings == () for one in plugins.found if one.package in {"bad", "broken"})
    whole = [one for one in plugins.found if one.package == "broken"]
    assert len(whole) == 2
    assert all(one.refused for one in whole)


def test_what_a_package_prints_when_it_is_imported_is_no_part_of_the_list(site: SitePackages) -> None:
    site.install("loud", f"print('welcome')\n{calls('loud.double')}", {HANDLERS: "a = handlers"})
    result = CliRunner().invoke(main, ["plugins", "list", "--json"])
    assert [one["brings"] for one in json.loads(result.stdout)] == [["loud.double"]]
    assert result.stderr == "welcome\n"


def test_of_two_packages_with_one_name_the_first_has_it(site: SitePackages) -> None:
    for package in ("two", "one"):
        points = {HANDLERS: "a = handlers", KINDS: "b = kind", STORES: "memory = store"}
        site.install(package, calls(f"{package}.double") + kind(package, "clock_now") + A_STORE, points)
    plugins = load_plugins()
    assert [one.name for one in plugins.kinds] == ["one"]
    assert "one.double" in plugins.calls
    assert "two.double" not in plugins.calls
    assert [one.refused for one in plugins.found if one.package == "two"] == [
        "another part of its package was refused",
        "the kind two claims clock_now, a command of the kind one",
        "the store memory is there already",
    ]


@pytest.mark.parametrize(
    ("metadata", "points", "why"),
    [
        ("Name: acme\nVersion: 1\n", b"[outrider.kinds]\nclock\n", "its entry points cannot be read: TypeError"),
        ("Name: acme\nVersion: 1\n", b"\xff", "its entry points cannot be read: UnicodeDecodeError"),
        ("Name: acme\nVersion: 1\n", b"[outrider.kinds]\nclock = 1 2\n", "it cannot be imported: "),
        ("Name: acme\n", b"[outrider.kinds]\nclock = no:kind\n", "it cannot be imported: ModuleNotFoundError"),
        ("", b"[outrider.kinds]\nclock = no:kind\n", "it cannot be imported: ModuleNotFoundError"),
        (None, b"[outrider.kinds]\nclock = no:kind\n", "it cannot be imported: ModuleNotFoundError"),
    ],
)
def test_metadata_that_no_installer_writes_costs_only_its_own_package(
    site: SitePackages, tmp_path: Path, metadata: str | None, points: bytes, why: str
) -> None:
    folder = tmp_path / "acme-1.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_bytes(points)
    if metadata is not None:
        (folder / "METADATA").write_text(metadata)
    site.install("sound", kind(), {KINDS: "clock = kind"})
    plugins = load_plugins()
    assert why in refusals(plugins)["acme" if metadata and "Name" in metadata else ""]
    assert [one.name for one in plugins.kinds] == ["clock"]
    plugins.tell(task_logger(Tag.CLUSTER, "node01"))


def test_of_two_distributions_with_one_name_the_first_of_the_path_is_meant(
    site: SitePackages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme", kind(), {KINDS: "clock = kind"}, "1.0")
    first = tmp_path / "first"
    first.mkdir()
    SitePackages(first, monkeypatch).install("acme", kind("newer"), {KINDS: "clock = kind"}, "2.0")
    assert [(one.version, one.brings[0]) for one in load_plugins().found] == [("2.0", "newer")]


@pytest.mark.parametrize("name", ["sqlite", "wazuh-db"])
def test_a_store_of_ours_cannot_be_replaced(site: SitePackages, name: str) -> None:
    site.install("acme", A_STORE, {STORES: f"{name} = store"})
    assert refusals(load_plugins()) == {"acme": f"the store {name} is there already"}


def test_a_store_has_a_plain_name(site: SitePackages) -> None:
    site.install("acme", A_STORE, {STORES: "My.Store = store"})
    assert "is no name for a store" in refusals(load_plugins())["acme"]


def test_what_is_refused_stands_in_the_log(site: SitePackages, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", "thing = 5", {KINDS: "clock = thing"})
    load_plugins().tell(task_logger(Tag.CLUSTER, "node01"))
    assert "clock of the package acme (orp_acme:thing) is left out: orp_acme:thing is no outrider.Kind" in caplog.text


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kinds.clok.zone": "CET"}, "kinds.clok: no kind of synchronisation has this name; there are .*clock"),
        ({"kinds.clock.zon": "CET"}, "kinds.clock.zon: this kind has no such option; it has zone"),
        ({"kinds.clock.zone": 5}, "kinds.clock.zone = 5: Expected str, got int"),
        ({"kinds.clock.interval": 0}, "kinds.clock.interval = 0: Expected float > 0.0"),
        ({"kinds.integrity.interval": 5}, "kinds.integrity.interval: nothing of this kind happens at an interval"),
        ({"kinds.requests.x": 5}, "kinds.requests.x: this kind has no such option"),
        ({"agents.store": "memroy"}, "agents.store = 'memroy': there is no such store; there are sqlite, wazuh-db"),
    ],
)
def test_settings_that_mean_what_is_not_there_name_it(site: SitePackages, changes: dict[str, object], why: str) -> None:
    site.install("acme", kind() + A_STORE, {KINDS: "clock = kind", STORES: "memory = store"})
    plugins = load_plugins()
    plugins.check(Settings.from_mapping({"kinds.clock.zone": "CET", "agents.store": "memory"}))
    with pytest.raises(SettingsError, match=why):
        plugins.check(Settings.from_mapping(changes))
