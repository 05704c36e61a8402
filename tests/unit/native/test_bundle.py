"""Steps and bundles across the border; what may go wrong with them is tested in Rust."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from outrider._native import (
    Applied,
    BundleFeed,
    BundlePacker,
    FileRule,
    FilesTable,
    Manifest,
    Step,
    Tree,
)
from outrider.errors import PeerError, SyncError

TABLE = FilesTable([FileRule("etc/rules/"), FileRule("etc/shared/", remove_subdirs_if_empty=True)])


def write(home: Path, files: dict[str, str]) -> Tree:
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    return Tree(str(home), TABLE, threads=2)


def drain(packer: BundlePacker) -> bytes:
    return b"".join(iter(lambda: packer.read(1 << 16), b""))


def apply(tree: Tree, bundle: bytes, base: Manifest, root: str, size: int = 100) -> Applied:
    """Feed a bundle in parts while it is applied."""
    feed = BundleFeed(1000)
    with ThreadPoolExecutor(1) as threads:
        applied = threads.submit(tree.apply_bundle, feed, base, root)
        if all(feed.write(bundle[at : at + size]) for at in range(0, len(bundle), size)):
            feed.finish()
        return applied.result()


def test_a_bundle_brings_a_tree_to_the_root_it_promises(tmp_path: Path) -> None:
    before = {"etc/rules/a": "line\n" * 99, "etc/rules/moved": "content that moves" * 9, "etc/shared/x/gone": "-"}
    old, worker = write(tmp_path / "old", before), write(tmp_path / "worker", before)
    new = write(tmp_path / "new", {"etc/rules/a": "line\n" * 98 + "end\n", "etc/rules/new": before["etc/rules/moved"]})
    base, to = worker.scan().manifest, new.scan().manifest
    step = Step(base, to, TABLE)
    assert step.counts == (0, 1, 1, 2, 0)
    assert step.deleted_fraction == pytest.approx(2 / 3)
    assert str(step).startswith("0 new, 1 patched, 1 copied, 2 deleted\n~ etc/rules/a\n")
    assert (step.base_root, step.root) == (base.root, to.root)
    packer = BundlePacker(step, old.contents(), new.contents())
    assert packer.unpacked == len("line\n" * 98 + "end\n"), "what is patched counts whole, what is copied not at all"
    bundle = drain(packer)
    applied = apply(worker, bundle, base, to.root)
    assert applied.manifest is not None
    assert applied.manifest.root == to.root
    assert (applied.written, applied.deleted, applied.folders_removed) == (2, 2, 1)
    scan = worker.scan()
    assert (scan.hashed, scan.manifest.root) == (0, to.root)


def test_an_unknown_base_is_brought_in_step_by_its_chunks(tmp_path: Path) -> None:
    text = Random(7).randbytes(300_000).hex()
    worker = write(tmp_path / "worker", {"etc/rules/large": text, "etc/rules/small": "1"})
    new = write(tmp_path / "new", {"etc/rules/large": "inserted" + text, "etc/rules/small": "2"})
    base, to = worker.scan().manifest, new.scan().manifest
    signatures = worker.signatures(base, ["etc/rules/large", "etc/rules/small", "etc/rules/none"])
    bundle = drain(BundlePacker(Step(base, to, TABLE).with_signatures(signatures), None, new.contents()))
    assert len(bundle) < 50_000
    assert len(drain(BundlePacker(Step(base, to, TABLE), None, new.contents()))) > 250_000
    apply(worker, bundle, base, to.root, 10_000)
    assert worker.scan().manifest.root == to.root
    with pytest.raises(PeerError, match="the list of chunks cannot be read"):
        Step(base, to, TABLE).with_signatures(b"\xff")


def test_what_stands_in_the_way_is_told_by_its_class(tmp_path: Path) -> None:
    old, worker = (write(tmp_path / name, {"etc/rules/a": "line\n" * 99}) for name in ("old", "worker"))
    new = write(tmp_path / "new", {"etc/rules/a": "line\n" * 98})
    base, to = worker.scan().manifest, new.scan().manifest
    bundle = drain(BundlePacker(Step(base, to, TABLE), old.contents(), new.contents()))
    with pytest.raises(PeerError, match="cut short"):
        apply(worker, bundle[:-1], base, to.root)
    with pytest.raises(PeerError, match="another root"):
        apply(worker, bundle, base, base.root)
    with pytest.raises(ValueError, match="128 hex digits"):
        worker.apply_bundle(BundleFeed(), base, "x")
    feed = BundleFeed()
    feed.fail("the connection ended")
    with pytest.raises(PeerError, match="the connection ended"):
        worker.apply_bundle(feed, base, to.root)
    assert not feed.write(b"more")
    write(tmp_path / "worker", {"etc/rules/a": "an edit of this node\n"})
    with pytest.raises(SyncError, match="etc/rules/a is not what this node last saw there") as coded:
        apply(worker, bundle, base, to.root)
    assert coded.value.situation == "OUT-1503"
    write(tmp_path / "new", {"etc/rules/a": "lime\n" * 98})
    packer = BundlePacker(Step(base, to, TABLE), old.contents(), new.contents())
    with pytest.raises(SyncError, match="it changed while it was read"):
        drain(packer)
    packer.close()
