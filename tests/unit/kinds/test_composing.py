"""Halves of one node: those that a node cannot be without end its start, and are found by name and type."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import NoReturn

import pytest
from tests.support.grounds import node_ground
from tests.support.loop import run
from tests.support.network import Fabric
from tests.support.ports import simulated_ports

from outrider.kinds.composing import Halves
from outrider.kinds.interface import Half, Kind, LinkGround, NodeGround, Talk


class Logged(Half[Talk]):
    """Remembers what became of it."""

    def __init__(self, ground: NodeGround) -> None:
        super().__init__()
        del ground
        self.events: list[str] = []

    async def start(self) -> None:
        self.events.append("start")

    async def close(self) -> None:
        self.events.append("close")

    def talk(self, link: LinkGround) -> Talk:
        del link
        return Talk()


class Fails(Logged):
    async def start(self) -> None:
        raise RuntimeError("no disk")


def unmade(_: NodeGround) -> NoReturn:
    raise RuntimeError("no disk")


LOGGED = Kind(name="logged", worker=Logged, vital=True)


async def halves_of(*kinds: Kind) -> Halves:
    halves = Halves(kinds, "worker", node_ground(simulated_ports(Fabric(Random(1)), "here")))
    await halves.start()
    return halves


@pytest.mark.parametrize("factory", [Fails, unmade])
def test_a_vital_kind_that_cannot_begin_ends_the_start(factory: type[Half[Talk]]) -> None:
    with pytest.raises(RuntimeError, match="no disk"):
        run(halves_of(LOGGED, replace(LOGGED, name="bad", worker=factory)))


@pytest.mark.parametrize("factory", [Fails, unmade])
def test_any_other_is_left_out(factory: type[Half[Talk]]) -> None:
    async def story() -> None:
        halves = await halves_of(replace(LOGGED, name="bad", worker=factory, vital=False), LOGGED)
        logged = halves.of("logged", Logged)
        await halves.close()
        assert logged.events == ["start", "close"]
        with pytest.raises(KeyError):
            halves.of("bad", Logged)

    run(story())


def test_a_kind_without_a_half_in_this_role_is_not_there() -> None:
    async def story() -> None:
        halves = await halves_of(replace(LOGGED, worker=None, master=Logged))
        with pytest.raises(KeyError):
            halves.of("logged", Logged)

    run(story())


def test_a_half_is_found_by_its_name_and_is_of_its_type() -> None:
    async def story() -> None:
        halves = await halves_of(LOGGED)
        with pytest.raises(TypeError, match="the kind logged brings a Logged, not a Fails"):
            halves.of("logged", Fails)

    run(story())
