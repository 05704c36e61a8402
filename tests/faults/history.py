"""The master's store of generations: it keeps what it was given, or says that it did not."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from random import Random
from typing import ClassVar

from tests.faults.scenario import Scenario, attempt
from tests.faults.strace import Outcome

from outrider._native import BundlePacker, FileRule, FilesTable, Generations, Manifest, Step, Tree

TABLE = FilesTable([FileRule("tree/")])
KEPT = 2
_LINEAGE = bytes(range(16))
_ADDED = ("third", "fourth")
ROOMY = 1 << 20
LARGE = 8 << 10
TIGHT = 40 << 10
"""Of room: what two generations of :data:`LARGE` contents need, but not with what the one before them leaves."""


def opened(home: Path, max_bytes: int = ROOMY) -> Generations:
    """The store as a master opens it."""
    return Generations(str(home), count=KEPT, max_bytes=max_bytes, lineage=bytes(16))


def tree(folder: Path, word: str, size: int = 0) -> tuple[Tree, Manifest]:
    """A state of the master's tree, which lies beside the store's home: its faults are not the store's.

    ``size``: bytes that nothing makes smaller, at the end of two of its files.
    """
    home = folder / word
    if not home.exists():
        (home / "tree").mkdir(parents=True)
        (home / "tree" / "same").write_bytes(b"the same in each of them" + Random("same").randbytes(size))
        (home / "tree" / "changing").write_bytes(f"of the {word}\n".encode() * 200 + Random(word).randbytes(size))
        (home / "tree" / word).write_text(word)
    found = Tree(str(home), TABLE)
    return found, found.scan().manifest


def serve(store: Generations) -> None:
    """Hand out each content of each generation: a step between any two is packed without the tree."""
    kept = store.list()
    for old, new in itertools.pairwise(kept):
        before, after = store.manifest(old.number), store.manifest(new.number)
        if before and after:
            packer = BundlePacker(Step(before, after, TABLE), store.contents(), store.contents())
            while packer.read(1 << 20):
                pass


class History(Scenario):
    """Two generations are added to two others; the store keeps two."""

    name = "generations"
    room: ClassVar[int] = ROOMY
    size: ClassVar[int] = 0

    def prepare(self) -> None:
        store = Generations(str(self.home), count=KEPT, max_bytes=self.room, lineage=_LINEAGE)
        for word in ("first", "second"):
            store.add(*tree(self.folder, word, self.size), 1.0)
        store.close()

    @classmethod
    def act(cls, home: Path) -> None:
        with attempt("open"):
            store = opened(home, cls.room)
            for word in _ADDED:
                with attempt(word):
                    added = store.add(*tree(home.parent, word, cls.size), 1.0)
                    roots = home.parent / "roots"
                    with roots.open("a") as file:
                        file.write(json.dumps([word, added.number, added.root]) + "\n")
                with attempt("sweep"):
                    store.sweep()
            with attempt("close"):
                store.close()

    def fresh(self) -> None:
        (self.folder / "roots").unlink(missing_ok=True)
        super().fresh()

    def check(self, outcome: Outcome) -> str:
        roots = self.folder / "roots"
        given = [json.loads(line) for line in roots.read_text().splitlines()] if roots.exists() else []
        assert {word for word, _, _ in given} >= {*_ADDED} & {*outcome.done}
        store = opened(self.home, self.room)
        assert store.lineage == _LINEAGE, "the store says that it is another"
        assert store.damaged == 0, "something was found damaged"
        kept = store.list()
        assert len(kept) >= KEPT, f"only {len(kept)} generations are left"
        assert kept[-1].number >= max([2, *(number for _, number, _ in given)]), "a generation that was told is gone"
        for word, number, root in given:
            assert all(one.root == root for one in kept if one.number == number), f"{word} is another tree"
        for one in kept:
            manifest = store.manifest(one.number)
            assert manifest is not None, f"the manifest of {one.number} is gone"
            assert manifest.root == one.root
        serve(store)
        assert not (self.home / ".outrider/generations/new").exists(), "a file is left half-written"
        highest = max(kept[-1].number, *(number for _, number, _ in given), 2)
        again = store.add(*tree(self.folder, "again", self.size), 2.0)
        assert again.number > highest, "a number was given twice"
        store.sweep()
        assert len(store.list()) == KEPT
        store.close()
        return f"{len(given)} added"


class Gathering(History):
    """The same where there is little room: what is needed of files that are left behind is written together."""

    name = "generations-gathered"
    room = TIGHT
    size = LARGE

    def check(self, outcome: Outcome) -> str:
        """Afterwards the store has no more than its room, whatever was left half-way."""
        found = super().check(outcome)
        held = sum(file.stat().st_size for file in (self.home / ".outrider/generations").iterdir())
        assert held <= TIGHT, f"the store takes {held} bytes of {TIGHT}"
        return found


class Reading(History):
    """A master starts on its store and reads all of it; a disk that refuses once costs no generation."""

    name = "generations-read"

    @classmethod
    def act(cls, home: Path) -> None:
        with attempt("open"):
            store = opened(home)
            for one in store.list():
                store.manifest(one.number)
            serve(store)
            store.close()
