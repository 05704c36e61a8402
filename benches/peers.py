"""The peers of the fast path: rsync from a daemon on loopback, and zstd with the old version as the prefix."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

from benches.cluster import Cost

_PORT = 18731
_RSYNCD = """\
use chroot = false
uid = {uid}
gid = {gid}
[tree]
path = {path}
"""
_BYTES = re.compile(r"Total bytes (?:sent|received): ([\d,]+)")


def rsync(base: Path, source: Path, target: Path, *options: str) -> Cost:
    """Bring ``target`` in step with ``source``, timed from the start of rsync to its end.

    The daemon listens on loopback: one for a single connection on its standard input would skip the network.
    """
    config = base / "rsyncd.conf"
    config.write_text(_RSYNCD.format(path=source, uid=os.getuid(), gid=os.getgid()))
    before = _children_s()
    daemon = subprocess.Popen(
        ["rsync", "--daemon", "--no-detach", f"--port={_PORT}", "--address=127.0.0.1", f"--config={config}"]
    )
    command = ["rsync", "--delete", "--stats", *options, f"rsync://127.0.0.1:{_PORT}/tree/", str(target)]
    try:
        for _ in range(100):
            started = time.perf_counter()
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            wall_s = time.perf_counter() - started
            if done.returncode == 0:
                break
            time.sleep(0.05)
        else:
            raise RuntimeError("the rsync daemon does not answer")
    finally:
        daemon.terminate()
        daemon.wait()
    sent = sum(int(found.replace(",", "")) for found in _BYTES.findall(done.stdout))
    return Cost(wall_s, _children_s() - before, sent)


def patch_bytes(folder: Path, old: bytes, new: bytes) -> int:
    """The size of ``zstd -3 --patch-from`` of these two versions."""
    folder.mkdir()
    (folder / "old").write_bytes(old)
    (folder / "new").write_bytes(new)
    command = ["zstd", "-3", "-q", "--long=27", "--patch-from=old", "new", "-o", "patch"]
    subprocess.run(command, cwd=folder, check=True)
    size = (folder / "patch").stat().st_size
    shutil.rmtree(folder)
    return size


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
