"""A tree is changed, taken back or looked at: it is the old or the new one, whatever the disk does."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.faults.scenario import Scenario, attempt
from tests.faults.strace import KILL, Outcome, Point, Strace

from outrider._native import BundleFeed, BundlePacker, FileRule, FilesTable, Manifest, Step, Tree, diff

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
NO_EXCHANGE = ("-e", "inject=renameat2:error=EINVAL")
_CUT_SHORT = Outcome(0, (), {}, "", "+++ killed by SIGKILL +++")
"""What is not finished now is the next start's, as after a kill."""
BESIDE = "made"
"""What an act is given lies in a folder of this name beside the home."""


def write(home: Path, files: dict[str, str]) -> None:
    """Write files below a home."""
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)


def version(home: Path) -> str:
    """Which tree stands there."""
    files = (path for path in home.rglob("*") if path.is_file() and ".outrider" not in path.parts)
    found = {str(path.relative_to(home)): path.read_text() for path in files}
    return "old" if found == OLD else "new" if found == NEW else f"a mix: {found}"


def leftovers(home: Path) -> list[str]:
    """What takes space and belongs to no version."""
    own = home / ".outrider"
    stages = [path for path in own.glob("stage/*") if not (path / "journal").exists()]
    return [str(path) for path in [*stages, *own.glob("trash/*"), *own.glob("journal*")]]


class _Changed(Scenario):
    """What all of these share: a worker's home, and a container and a bundle of its master."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.made = folder / BESIDE
        if not self.made.exists():
            self._make()

    def prepare(self) -> None:
        write(self.home, OLD)
        # With a version that is kept, the next one has the same number in each run.
        write(self.home, {".outrider/stage/0/journal": ""})

    def check(self, outcome: Outcome) -> str:
        """Recover: one version stands, nothing is left over, the next apply works and the index is true."""
        if not outcome.died:
            assert leftovers(self.home) == [], f"space was not freed: {leftovers(self.home)}"
        tree = Tree(str(self.home), TABLE)
        tree.recover()
        found = version(self.home)
        assert found in {"old", "new"}
        assert leftovers(self.home) == [], f"left over after the next start: {leftovers(self.home)}"
        assert tree.recover() is None
        self.expect(outcome, found)
        if found == "old":
            tree.apply(str(self.made / "container"))
            assert version(self.home) == "new"
        empty = Manifest.from_wire(b"{}")
        again, rehashed = tree.scan().manifest, tree.scan(rehash=True).manifest
        assert not (self.home / ".outrider/index.tmp").exists(), "the index is left half-written"
        assert diff(again, empty, TABLE) == diff(rehashed, empty, TABLE), "the index does not say what is there"
        return found

    def expect(self, outcome: Outcome, found: str) -> None:
        """What was told must be so."""
        if outcome.done or outcome.failed:
            assert found == ("new" if outcome.done else "old")

    def _make(self) -> None:
        old, new = self.folder / "old", self.folder / "new"
        write(old, OLD)
        write(new, NEW)
        self.made.mkdir()
        master, worker = Tree(str(new), TABLE), Tree(str(old), TABLE)
        base, to = worker.scan().manifest, master.scan().manifest
        (self.made / "container").write_bytes(master.pack(diff(to, base, TABLE)).read(1 << 20))
        step = Step(base, to, TABLE)
        (self.made / "bundle").write_bytes(BundlePacker(step, None, master.contents()).read(1 << 20))
        (self.made / "base").write_bytes(base.to_native())
        (self.made / "root").write_text(step.root)
        shutil.rmtree(old / ".outrider")


class Container(_Changed):
    """A container of a master is applied."""

    name = "apply"

    @staticmethod
    def act(home: Path) -> None:
        with attempt("apply"):
            Tree(str(home), TABLE).apply(str(home.parent / BESIDE / "container"))


class Renamed(Container):
    """The same where the file system cannot exchange two files in one call."""

    name = "apply-by-renames"
    always = NO_EXCHANGE


class Bundle(_Changed):
    """A bundle of the fast path is applied."""

    name = "apply-bundle"

    @staticmethod
    def act(home: Path) -> None:
        made = home.parent / BESIDE
        feed = BundleFeed(1 << 20)
        feed.write((made / "bundle").read_bytes())
        feed.finish()
        base = Manifest.from_native((made / "base").read_bytes(), max_bytes=1 << 20)
        with attempt("apply"):
            Tree(str(home), TABLE).apply_bundle(feed, base, (made / "root").read_text())


class Finishing(_Changed):
    """A node starts on an apply that was cut short."""

    name = "recover"
    half_way = Point("renameat2", 5, KILL)
    journal = "journal"
    becomes = "new"
    told = False
    """What cannot be finished is taken back: that is what is told then."""

    def prepare(self) -> None:
        super().prepare()
        Strace(Container.name, self.home, self.always).run(self.half_way)
        assert version(self.home).startswith("a mix")
        own = self.home / ".outrider"
        (own / "journal").rename(own / self.journal)

    def check(self, outcome: Outcome) -> str:
        if not outcome.done and not outcome.died:
            # The disk refused the recovery; it is the next start's.
            return super().check(_CUT_SHORT)
        return super().check(outcome)

    def expect(self, outcome: Outcome, found: str) -> None:
        # A step that cannot be finished is taken back, and both are whole.
        wanted = {self.becomes} if outcome.died or outcome.done else {"old", "new"}
        assert found in {*wanted, "old"}

    @staticmethod
    def act(home: Path) -> None:
        with attempt("recover"):
            Tree(str(home), TABLE).recover()


class TakingBack(Finishing):
    """The same, and it was being taken back."""

    name = "recover-undo"
    journal = "journal.undo"
    becomes = "old"


class FinishingByRenames(Finishing):
    """A node starts on such an apply where two files cannot be exchanged in one call."""

    name = "recover-by-renames"
    always = NO_EXCHANGE
    half_way = Point("renameat", 5, KILL)


class TakingBackByRenames(TakingBack):
    """And it was being taken back."""

    name = "recover-undo-by-renames"
    always = NO_EXCHANGE
    half_way = Point("renameat", 5, KILL)


class RollingBack(_Changed):
    """A person goes back to the version before."""

    name = "rollback"

    def prepare(self) -> None:
        super().prepare()
        Tree(str(self.home), TABLE).apply(str(self.made / "container"))

    def check(self, outcome: Outcome) -> str:
        return super().check(_CUT_SHORT if outcome.failed else outcome)

    def expect(self, outcome: Outcome, found: str) -> None:
        if "rollback" in outcome.done:
            assert found == "old"

    @staticmethod
    def act(home: Path) -> None:
        tree = Tree(str(home), TABLE)
        with attempt("rollback"):
            tree.rollback()
        with attempt("sweep"):
            tree.sweep()


class Index(_Changed):
    """A tree is looked at twice, with a change in between; the index is only ever a hint."""

    name = "index"

    @staticmethod
    def act(home: Path) -> None:
        tree = Tree(str(home), TABLE)
        for word in ("first", "second"):
            with attempt(word):
                scan, again = tree.scan(), tree.scan(rehash=True)
                if not scan.problems and not again.problems:  # either may be the one that meets the fault
                    empty = Manifest.from_wire(b"{}")
                    assert diff(scan.manifest, empty, TABLE) == diff(again.manifest, empty, TABLE)

    def expect(self, outcome: Outcome, found: str) -> None:  # noqa: ARG002  (whatever it was, nothing was applied)
        assert found == "old"
