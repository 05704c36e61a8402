"""A real process is killed, or refused, at each system call of an apply; the tree is the old or the new one.

strace counts the calls of one undisturbed run, then repeats it once for each of them and kills the
process (or lets the call fail) there. Set OUTRIDER_ALL_FAULTS=1 to try every error at every call.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from outrider._native import FileRule, FilesTable, Manifest, Tree, diff
from outrider.errors import OutriderError

STRACE = shutil.which("strace")
pytestmark = pytest.mark.skipif(STRACE is None, reason="strace is not installed; .ci/run installs it")

TABLE = FilesTable(
    [FileRule("etc/rules/"), FileRule("etc/shared/", remove_subdirs_if_empty=True)], excluded_files=["own"]
)
OLD = {
    "etc/rules/changed": "old",
    "etc/rules/also": "old",
    "etc/rules/gone": "old",
    "etc/rules/turns": "a file becomes a folder",
    "etc/shared/group/gone": "old",
    "etc/shared/group/own": "not the master's",
}
NEW = {
    "etc/rules/changed": "new",
    "etc/rules/also": "and longer",
    "etc/rules/fresh": "new",
    "etc/rules/turns/inside": "new",
    "etc/shared/more/deep/fresh": "new",
}
SCRIPT = """
import sys
from outrider._native import FileRule, FilesTable, Tree
rules = [FileRule("etc/rules/"), FileRule("etc/shared/", remove_subdirs_if_empty=True)]
tree = Tree(sys.argv[2], FilesTable(rules, excluded_files=["own"]))
getattr(tree, sys.argv[1])(*sys.argv[3:])
"""
NO_EXCHANGE = ("-e", "inject=renameat2:error=EINVAL")
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES")


@dataclass(frozen=True)
class Calls:
    """System calls that are disturbed, on these paths below the node's own folder."""

    paths: tuple[str, ...]
    names: tuple[str, ...]
    always: tuple[str, ...] = ()


STAGE = "stage/0"
FAULTS = (
    Calls((".", "stage", "trash"), ("openat", "mkdirat", "renameat", "unlinkat", "fsync")),
    Calls((STAGE,), ("openat", "mkdirat", "fchmodat", "renameat2", "syncfs")),
    Calls(tuple(f"{STAGE}/{item}" for item in range(5)), ("write", "fchmod")),
    Calls((f"{STAGE}/plan", "index.tmp"), ("write",)),
)
WITHOUT_EXCHANGE = Calls((STAGE,), ("renameat",), NO_EXCHANGE)


class Node:
    """A worker's home and the container that is applied to it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._old = folder / "old"
        self._container = folder / "container"
        write(self._old, OLD)
        write(folder / "master", NEW)
        master = Tree(str(folder / "master"), TABLE)
        old = Tree(str(self._old), TABLE).scan().manifest
        packer = master.pack(diff(master.scan().manifest, old, TABLE))
        self._container.write_bytes(packer.read(1 << 20))
        shutil.rmtree(self._old / ".outrider")

    def reset(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self._old, self.home)

    def run(self, method: str, calls: Calls, *faults: str) -> tuple[int, str]:
        """Run ``apply`` or ``recover`` in a process of its own; its exit code and the calls that matched."""
        log = self.home.parent / "calls"
        own = self.home / ".outrider"
        watched = [word for path in calls.paths for word in ("-P", os.path.normpath(own / path))]
        traced = ",".join(sorted({*calls.names, *(fault[7:].partition(":")[0] for fault in calls.always[1::2])}))
        argv = [str(STRACE), "-f", "-qq", "-o", str(log), "-e", f"trace={traced}", *watched]
        argv += [*calls.always, *faults, sys.executable, "-c", SCRIPT, method, str(self.home)]
        argv += [str(self._container)] if method == "apply" else []
        done = subprocess.run(argv, capture_output=True, check=False)
        return done.returncode, log.read_text() + done.stderr.decode()

    def each(self, method: str, calls: Calls) -> Iterator[tuple[str, int]]:
        """Every call of an undisturbed run: its name and its number in its thread."""
        _, log = self.run(method, calls)
        counts = Counter(re.findall(r"^(\d+) +(\w+)\(", log, re.MULTILINE))
        for name in calls.names:
            most = max((count for (_, called), count in counts.items() if called == name), default=0)
            yield from ((name, number) for number in range(1, most + 1))

    def version(self) -> str:
        """Which tree stands there."""
        found = {
            str(path.relative_to(self.home)): path.read_text()
            for path in self.home.rglob("*")
            if path.is_file() and ".outrider" not in path.parts
        }
        return "old" if found == OLD else "new" if found == NEW else f"a mix: {found}"

    def leftovers(self) -> list[str]:
        """What takes space and belongs to no version."""
        own = self.home / ".outrider"
        stages = [path for path in own.glob("stage/*") if not (path / "journal").exists()]
        return [str(path) for path in [*stages, *own.glob("trash/*"), *own.glob("journal*")]]

    def check(self, fault: object) -> str:
        """Recover here; afterwards one version stands, nothing is left over, and the next apply works."""
        tree = Tree(str(self.home), TABLE)
        tree.recover()
        version = self.version()
        assert version in {"old", "new"}, fault
        assert self.leftovers() == [], fault
        assert tree.recover() is None
        if version == "old":
            tree.apply(str(self._container))
            assert self.version() == "new", fault
        empty = Manifest.from_wire(b"{}")
        assert diff(tree.scan(rehash=True).manifest, empty, TABLE) == diff(tree.scan().manifest, empty, TABLE), fault
        return version


def write(home: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    node.reset()
    return node


@pytest.mark.parametrize("calls", [*FAULTS, WITHOUT_EXCHANGE], ids=lambda calls: "-".join(calls.names))
def test_threat_32_killed_at_any_call_of_an_apply_the_tree_is_old_or_new(node: Node, calls: Calls) -> None:
    cases = list(node.each("apply", calls))
    assert node.version() == "new"
    assert cases
    outcomes = Counter[str]()
    for name, number in cases:
        node.reset()
        code, _ = node.run("apply", calls, "-e", f"inject={name}:signal=KILL:when={number}")
        assert code != 0, f"{name} number {number} was not reached"
        outcomes[node.check(f"killed at {name} number {number}")] += 1
    assert outcomes["old"] or outcomes["new"] == len(cases)


@pytest.mark.parametrize("exchange", [(), NO_EXCHANGE], ids=["exchange", "two renames"])
@pytest.mark.parametrize("marked", [False, True], ids=["finishing", "taking back"])
def test_threat_32_killed_again_while_it_recovers(node: Node, exchange: tuple[str, ...], *, marked: bool) -> None:
    apply = Calls((STAGE,), ("renameat2", "renameat"), exchange)
    names = ("renameat2", "renameat") if exchange else ("renameat2",)
    recover = Calls((".", "stage", "trash", STAGE), (*names, "unlinkat", "fsync", "syncfs"), exchange)

    def half_done() -> None:
        node.reset()
        node.run("apply", apply, "-e", f"inject={names[-1]}:signal=KILL:when={8 if exchange else 6}")
        if marked:
            journal = node.home / ".outrider/journal"
            journal.rename(journal.with_name("journal.undo"))

    half_done()
    cases = list(node.each("recover", recover))
    assert node.version() == ("old" if marked else "new")
    for name, number in cases:
        half_done()
        assert node.version().startswith("a mix")
        node.run("recover", recover, "-e", f"inject={name}:signal=KILL:when={number}")
        assert node.check(f"killed at {name} number {number} of recover") == ("old" if marked else "new")


def test_threat_40_a_half_done_apply_whose_journal_is_damaged_loses_nothing_and_the_next_one_mends_it(
    node: Node,
) -> None:
    node.run("apply", Calls((STAGE,), ("renameat2",)), "-e", "inject=renameat2:signal=KILL:when=6")
    assert node.version().startswith("a mix")
    journal = node.home / ".outrider/journal"
    journal.write_bytes(journal.read_bytes()[:-1])
    tree = Tree(str(node.home), TABLE)
    assert str(tree.recover()).startswith("set aside, since its journal is damaged (its digest does not match")
    assert node.version().startswith("a mix")
    everything = [path for path in node.home.rglob("*") if path.is_file() and path.name != "journal.damaged"]
    assert {path.read_text() for path in everything} >= set(OLD.values())
    master = Tree(str(node.home.parent / "master"), TABLE)
    packer = master.pack(diff(master.scan().manifest, tree.scan().manifest, TABLE))
    (node.home.parent / "mending").write_bytes(packer.read(1 << 20))
    tree.apply(str(node.home.parent / "mending"))
    assert node.version() == "new"
    assert tree.sweep() == 1
    assert tree.recover() is None


@pytest.mark.parametrize("calls", FAULTS, ids=lambda calls: "-".join(calls.names))
def test_threat_33_refused_at_any_call_the_tree_is_put_back_and_the_space_freed(node: Node, calls: Calls) -> None:
    for at, (name, number) in enumerate(list(node.each("apply", calls))):
        everything = os.environ.get("OUTRIDER_ALL_FAULTS")
        for error in ERRORS if everything else (ERRORS[at % len(ERRORS)],):
            node.reset()
            code, _ = node.run("apply", calls, "-e", f"inject={name}:error={error}:when={number}")
            fault = f"{error} from {name} number {number}"
            assert node.version() == ("old" if code else "new"), fault
            assert node.leftovers() == [], fault
            node.check(fault)


def test_threat_34_a_tree_that_is_not_known_to_be_durable_is_not_activated(node: Node) -> None:
    for call, paths in (("syncfs", (STAGE,)), ("fsync", (".",))):
        for number in (1, 2):
            node.reset()
            code, _ = node.run("apply", Calls(paths, (call,)), "-e", f"inject={call}:error=EIO:when={number}")
            assert (code, node.version()) == (1, "old"), f"{call} number {number}"


def test_an_error_names_the_cause_and_says_what_became_of_the_tree(node: Node) -> None:
    _, said = node.run("apply", Calls((STAGE,), ("renameat2",)), "-e", "inject=renameat2:error=ENOSPC:when=3")
    assert "No space left on device" in said
    assert "the tree was put back as it was" in said
    node.reset()
    tree = Tree(str(node.home), TABLE)
    (node.home / ".outrider").write_text("in the way")
    with pytest.raises(OutriderError, match=r"cannot make .*\.outrider"):
        tree.recover()
