"""A change right after a look is found, whether the file system's clock ticks (threat 35) or tells every change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import mounts

ROUNDS = 50
LOOKS = f"""
import sys
from pathlib import Path
from outrider._native import FileRule, FilesTable, Tree

home = Path(sys.argv[1])
for folder in ("tree", ".outrider"):
    (home / folder).mkdir()
tree = Tree(str(home), FilesTable([FileRule("tree/")]), threads=1)
roots = set()
for number in range({ROUNDS}):
    (home / "tree" / "file").write_bytes(b"%03d" % number)  # in place, and as long as before
    roots.add(tree.scan().manifest.root)
print(len(roots), tree.scan().hashed)
"""


@pytest.mark.parametrize("kind", ["as it is here", "one that ticks"])
def test_threat_35_a_change_right_after_a_look_is_found_on_any_file_system(tmp_path: Path, kind: str) -> None:
    within: list[str] = []
    if kind == "one that ticks":
        mounts.needed()
        within = ["unshare", "--mount", "sh", "-ec", 'mount -t ramfs none "$0"; exec "$@"', str(tmp_path)]
    command = [*within, sys.executable, "-c", LOOKS, str(tmp_path)]
    looked = subprocess.run(command, capture_output=True, check=True, text=True)
    assert looked.stdout.split() == [str(ROUNDS), "0"], "every change was seen, and what rests is not read again"
