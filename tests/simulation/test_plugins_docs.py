"""The kind that docs/plugins.md shows does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster, simulate

from outrider.kinds.interface import Kind

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text("utf-8")


def test_every_worker_greets_its_master_with_its_own_words(tmp_path: Path) -> None:
    found = re.search(r"<!-- example: kind -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    defined: dict[str, Any] = {}
    exec(compile(found[1], "docs/plugins.md", "exec"), defined)
    kind: Kind = defined["kind"]

    async def story(cluster: Cluster) -> None:
        await cluster.master(kinds=[kind])
        one = cluster.worker("worker1", kinds=[kind])
        two = cluster.worker("worker2", {"kinds.greeting.text": "hey", "kinds.greeting.interval": 5}, kinds=[kind])
        await cluster.until(lambda: two.status.snapshot().counters.get("greeted_with_hey", 0) == 10)
        assert one.status.snapshot().counters.get("greeted_with_hello") == 1

    simulate(tmp_path, story)
