"""Each way to hash, forced by name, against hashlib; where a machine lacks one, the next best answers."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

LENGTHS = [*range(0, 1026, 3), 4096, 100_000, 1_048_576, 1_048_577, 3_000_001]
SCAN = """
import sys
from outrider._native import FileRule, FilesTable, Tree
for entry in Tree(sys.argv[1], FilesTable([FileRule("a/")])).scan(rehash=True).manifest.entries():
    print(entry.path, entry.hash)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "a").mkdir()
    for length in LENGTHS:
        (home / "a" / str(length)).write_bytes(hashlib.shake_128(str(length).encode()).digest(length))
    return home


@pytest.mark.parametrize("way", ["portable", "avx2", "avx512", "no such way"])
def test_every_way_gives_the_digests_of_hashlib(home: Path, way: str) -> None:
    expected = {f"a/{length}": hashlib.blake2b((home / "a" / str(length)).read_bytes()) for length in LENGTHS}
    command = [sys.executable, "-c", SCAN, str(home)]
    environment = os.environ | {"OUTRIDER_DIGEST": way}
    lines = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()
    assert dict(line.split(" ") for line in lines) == {path: digest.hexdigest() for path, digest in expected.items()}
