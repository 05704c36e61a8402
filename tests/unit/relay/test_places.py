"""Places whose number may become another while some are taken and others are waited for."""

from __future__ import annotations

import asyncio

from outrider.relay.places import Places


class Room:
    """Places, and who has one."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.places = Places(lambda: self.most)
        self.inside: list[str] = []

    def enter(self, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._enter(name))

    async def _enter(self, name: str) -> None:
        await self.places.take()
        self.inside.append(name)

    def leave(self, name: str) -> None:
        self.inside.remove(name)
        self.places.give_back()


async def steps() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


def test_who_waits_is_let_in_by_turn() -> None:
    async def story() -> None:
        room = Room(1)
        waiting = [room.enter(name) for name in "abc"]
        await steps()
        assert (room.inside, room.places.full) == (["a"], True)
        room.leave("a")
        await steps()
        assert room.inside == ["b"]
        room.leave("b")
        await asyncio.gather(*waiting)
        room.leave("c")
        assert not room.places.full

    asyncio.run(story())


def test_more_places_let_in_more_and_fewer_wait_until_enough_have_left() -> None:
    async def story() -> None:
        room = Room(1)
        waiting = [room.enter(name) for name in "abcd"]
        await steps()
        room.most = 3
        room.places.look_again()
        await steps()
        assert room.inside == ["a", "b", "c"]
        room.most = 1
        for name in "ab":
            room.leave(name)
            await steps()
            assert "d" not in room.inside
        room.leave("c")
        await asyncio.gather(*waiting)
        assert room.inside == ["d"]

    asyncio.run(story())


def test_who_gives_up_takes_no_place_even_when_it_was_just_given_one() -> None:
    async def story() -> None:
        room = Room(1)
        await room.enter("a")
        gone, late, last = (room.enter(name) for name in ("gone", "late", "last"))
        await steps()
        gone.cancel()
        await steps()
        room.leave("a")
        late.cancel()
        await asyncio.gather(gone, late, return_exceptions=True)
        await last
        assert room.inside == ["last"]
        room.leave("last")
        assert not room.places.full

    asyncio.run(story())
