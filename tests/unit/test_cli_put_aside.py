"""``outrider agents put-aside`` shows what no master takes, whether a node runs or not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner

from outrider.cli import main
from outrider.store.outbox import PutAside, outbox_of
from outrider.world import ThreadPool


def run(home: Path, *more: str) -> list[str]:
    result = CliRunner().invoke(main, ["agents", "put-aside", "--home", str(home), *more], env={})
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_what_was_put_aside_is_shown_with_its_reason(tmp_path: Path) -> None:
    record = b'{"id":7,"name":"evil\\u001b[2J","connection_status":"active"}'

    async def story() -> None:
        async with outbox_of(tmp_path, ThreadPool()) as outbox:
            await outbox.put_aside([PutAside(record, "it will not do", 1_700_000_000.0)])
            (line,) = run(tmp_path)
            assert line == "007  evil\\x1b[2J                  2023-11-14 22:13:20Z  it will not do"

    assert run(tmp_path) == []
    asyncio.run(story())
    (line,) = run(tmp_path, "--json")
    assert json.loads(line) == {"at": 1_700_000_000.0, "why": "it will not do", "agent": json.loads(record)}
