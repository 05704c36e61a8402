"""A worker with something mounted in its tree: staged there, or refused clearly until it is unmounted (threats 37).

The worker lives in a mount namespace of its own, which goes with it; the test looks in through ``/proc``.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.folders import files_below
from tests.support.processes import Node, free_port, nodes, wait_until


def refusal() -> str | None:
    """Why nothing can be mounted here, if so."""
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        done = subprocess.run(probe, capture_output=True, check=False, text=True)
    except FileNotFoundError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else None


REFUSAL = refusal()
pytestmark = pytest.mark.skipif(REFUSAL is not None, reason=f"nothing can be mounted here, run it as root: {REFUSAL}")


class Mounted(Node):
    """A worker that starts once ``mounts`` is done, in its home."""

    def __init__(self, home: Path, mounts: str, port: int) -> None:
        super().__init__("worker", home, port=port)
        self.within = ["unshare", "--mount", "sh", "-ec", f'(cd "$0" && {mounts}); exec "$@"', str(home)]

    def tree(self) -> dict[str, bytes]:
        """As the worker sees it."""
        return files_below(Path(f"/proc/{self.pid}/root{self.home}"), "tree")

    def run(self, *command: str) -> None:
        """Run a command where the worker sees what it changes."""
        subprocess.run(["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--", *command], check=True, cwd="/")


def two(folder: Path, mounts: str) -> tuple[Node, Mounted]:
    """A master, and a worker that is in step with it but for the mounts."""
    port = free_port()
    master, worker = Node("master", folder / "master-node", port=port), Mounted(folder / "worker1", mounts, port)
    for node in (master, worker):
        node.write("a", b"old")
        node.write("sub/b", b"old")
    (folder / "own").write_bytes(b"mounted")
    return master, worker


def refused(master: Node, worker: Mounted, path: str, why: str, remedy: list[str]) -> None:
    """Everything waits while the worker refuses to write ``path``, and comes in step after the remedy."""
    with nodes(master, worker):
        wait_until(lambda: worker.said(f"not applied: .*{path}.*{why}") > 0, "the refusal")
        before = worker.tree()
        master.write("a", b"new")
        master.write("sub/b", b"new")
        master.write("c", b"new")
        wait_until(lambda: master.said(f"the worker reports: .*{why}") > 0, "the master's word of it")
        assert worker.tree() == before, "all or nothing"
        assert not list((worker.home / ".outrider/stage").iterdir()), "space is still taken"
        worker.run(*remedy)
        wait_until(lambda: worker.tree() == master.tree(), "the sync")
        assert worker.said("Traceback") == master.said("Traceback") == 0


def test_threat_37_a_file_that_is_mounted_is_refused_clearly_until_it_is_unmounted(tmp_path: Path) -> None:
    master, worker = two(tmp_path, "mount --bind ../own tree/a")
    remedy = ["umount", str(worker.home / "tree/a")]
    refused(master, worker, "tree/a", "something is mounted there, .* mount the folder instead", remedy)


def test_threat_37_a_folder_that_is_mounted_read_only_is_refused_clearly_until_it_is_writable(tmp_path: Path) -> None:
    master, worker = two(tmp_path, "mount --bind tree/sub tree/sub && mount -o remount,bind,ro tree/sub")
    master.write("sub/b", b"newer")
    remedy = ["mount", "-o", "remount,bind,rw", str(worker.home / "tree/sub")]
    refused(master, worker, "tree/sub", "Read-only file system", remedy)


def test_threat_37_a_folder_on_another_file_system_gets_a_stage_of_its_own(tmp_path: Path) -> None:
    master, worker = two(tmp_path, "mount -t tmpfs none tree/sub")
    with nodes(master, worker):
        wait_until(lambda: worker.tree() == master.tree(), "the sync")
        master.write("sub/b", b"new")
        master.write("a", b"new")
        (master.home / "tree/sub/deep").mkdir()
        wait_until(lambda: worker.tree() == master.tree(), "the change")
        assert (worker.home / "tree/sub/b").read_bytes() == b"old", "what lies below the mount is not touched"
        assert Path(f"/proc/{worker.pid}/root{worker.home}/tree/sub/.outrider/stage").is_dir()
        assert worker.said("ERROR") == 0
