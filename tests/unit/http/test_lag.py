"""A loop that is blocked shows as late; nobody's loop is woken up for long."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.loop import run

from outrider.http import lag
from outrider.http.lag import LoopLag


def test_it_measures_for_a_while_after_somebody_looked() -> None:
    async def story() -> None:
        seen = LoopLag()
        await asyncio.sleep(100)
        assert len(seen.seen) == 0
        seen.asked()
        seen.asked()
        await asyncio.sleep(10.1)
        assert len(seen.seen) == 20
        await asyncio.sleep(10_000)
        assert 600 <= len(seen.seen) <= 601
        seen.asked()
        await asyncio.sleep(1)
        assert len(seen.seen) > 601
        seen.close()

    run(story())


def test_a_blocked_loop_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "_EVERY_S", 0.0)

    async def story() -> float:
        seen, loop = LoopLag(), asyncio.get_running_loop()
        seen.asked()
        late = loop.time() + 0.05
        while loop.time() < late:  # nothing else runs meanwhile
            pass
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.close()
        return seen.seen.seconds

    assert asyncio.run(story()) >= 0.05
