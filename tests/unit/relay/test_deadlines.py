"""Many deadlines under one timer, in virtual time."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from tests.support.loop import run

from outrider.relay.deadlines import Deadlines


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 200), st.none() | st.integers(0, 100)), max_size=20))
def test_each_passes_at_its_time_unless_it_was_cleared_before(rows: list[tuple[int, int, int | None]]) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        passed: list[tuple[int, float]] = []
        deadlines: Deadlines[int] = Deadlines(lambda key: passed.append((key, loop.time())))
        wanted: list[tuple[int, float]] = []
        for key, (start, seconds, cleared) in enumerate(rows):
            loop.call_at(start, deadlines.set, key, seconds)
            if cleared is None or cleared + 0.5 > start + seconds:
                wanted.append((key, start + seconds))
            elif cleared + 0.5 > start:
                loop.call_at(cleared + 0.5, deadlines.clear, key)
            else:
                wanted.append((key, start + seconds))
        await asyncio.sleep(300)
        assert sorted(passed) == wanted
        assert [at for _, at in passed] == sorted(at for _, at in wanted)

    run(story())


def test_what_is_set_or_cleared_while_others_pass_is_heeded() -> None:
    async def story() -> None:
        passed: list[str] = []

        def note(key: str) -> None:
            passed.append(key)
            if key == "first":
                deadlines.clear("second")
                deadlines.set("third", 1)

        deadlines = Deadlines(note)
        deadlines.set("first", 5)
        deadlines.set("second", 5)
        await asyncio.sleep(5.5)
        assert passed == ["first"]
        await asyncio.sleep(1)
        assert passed == ["first", "third"]

    run(story())
