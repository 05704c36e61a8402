"""The pictures of the page in the documentation: a small cluster of real nodes that has had a busy minute.

``python -m tests.pictures FOLDER`` writes ``page-light.png`` and ``page-dark.png`` there.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.support.browser import picture, visit
from tests.support.processes import Node, free_port, nodes, wait_until

_WORKERS = ("ams-1", "ams-2", "fra-1", "fra-2", "lon-1")
_CHECK = ["sh", "-c", "test ! -e refuse || { echo 'rules/017.xml, line 40: no such field'; exit 1; }"]
_WIDTH, _HEIGHT = 1200, 1010
_STEPS = 14


def main(folder: Path) -> None:
    """Play the story, take the pictures."""
    with tempfile.TemporaryDirectory(prefix="outrider-pictures-") as base:
        port, page = free_port(), free_port()
        master = Node("master", Path(base) / "ams-0", port=port, http={"enabled": True, "port": page})
        workers = [
            Node("worker", Path(base) / name, port=port, generations={"check_command": _CHECK}) for name in _WORKERS
        ]
        chance, url = Random(11), f"http://127.0.0.1:{page}/"
        _write_tree(master, chance)
        with nodes(master, *workers):
            _in_step(url, len(workers) + 1)
            for number in range(_STEPS):
                _edit(master, chance, number)
                time.sleep(chance.uniform(0.3, 1.2))
            _in_step(url, len(workers) + 1)
            workers[-1].kill()
            (workers[2].home / "refuse").touch()
            _edit(master, chance, _STEPS)
            _in_step(url, len(workers) - 1)
            time.sleep(3)
            for dark in (False, True):
                name = "page-dark.png" if dark else "page-light.png"
                picture(url, folder / name, width=_WIDTH, height=_HEIGHT, dark=dark)


def _in_step(url: str, number: int) -> None:
    wait_until(lambda: sum(row.in_step for row in visit(url).nodes().values()) == number, f"{number} nodes in step")


def _line(chance: Random) -> str:
    level, sid = chance.randrange(16), chance.randrange(100_000)
    return f'<rule id="{sid}" level="{level}"><match>{chance.getrandbits(64):x}</match></rule>\n'


def _write_tree(master: Node, chance: Random) -> None:
    for number in range(300):
        text = "".join(_line(chance) for _ in range(chance.randrange(40, 900)))
        master.write(f"rules/{number:03}.xml", text.encode())


def _edit(master: Node, chance: Random, number: int) -> None:
    """A few files change by a line, now and then one is new."""
    for path in chance.sample(sorted(master.tree()), chance.randrange(1, 9)):
        file = master.home / path
        master.write(path.removeprefix("tree/"), file.read_bytes() + _line(chance).encode())
    if number % 4 == 1:
        master.write(f"lists/{number}.txt", "".join(_line(chance) for _ in range(500)).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
