"""Announced transfers: ids, arrivals, cancels."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from tests.support.loop import run

from outrider.errors import PeerError, Refusal
from outrider.exchange.tasks import Tasks
from outrider.protocol.faults import Fault

FILE = Path("queue/cluster/worker1/a.zip")


def tasks(most: int = 64) -> Tasks:
    return Tasks(Random(1), lambda: most)


def test_a_task_has_an_id_and_gets_its_file_once() -> None:
    async def story() -> None:
        table = tasks()
        name, arrival = table.open()
        assert UUID(name.decode()).version == 4
        table.deliver(name, FILE)
        with pytest.raises(Refusal, match="3027"):
            table.deliver(name, FILE)
        assert await arrival == FILE
        with pytest.raises(Refusal, match="3027"):
            table.deliver(name, FILE)

    run(story())


def test_the_peer_may_choose_an_id_but_not_one_that_is_open() -> None:
    async def story() -> None:
        table = tasks()
        name, arrival = table.open(b"mine")
        assert name == b"mine"
        with pytest.raises(Refusal, match="open already"):
            table.open(b"mine")
        table.deliver(b"mine", FILE)
        assert await arrival == FILE

    run(story())


def test_no_more_tasks_than_the_limit_are_open_and_one_that_ended_makes_room() -> None:
    async def story() -> None:
        table = tasks(most=2)
        _, first = table.open()
        table.open()
        with pytest.raises(Refusal, match=r"limits\.tasks"):
            table.open()
        first.cancel()
        await asyncio.sleep(0)
        table.open()

    run(story())


def test_a_peer_that_gives_up_fails_what_waits_for_it() -> None:
    async def story() -> None:
        table = tasks()
        name, arrival = table.open()
        assert not table.fail(None, Fault(3040))
        assert not table.fail(b"another", Fault(3040))
        assert table.fail(name, Fault(3040, "disk"))
        assert not table.fail(name, Fault(3040, "disk"))
        with pytest.raises(PeerError, match="Error 3040 - disk"):
            await arrival

    run(story())


def test_a_cancel_reaches_the_send_it_names_and_no_other() -> None:
    table = tasks()
    one, two = table.sending(b"one"), table.sending(b"two")
    table.cancel(b"one")
    table.cancel(b"three")
    table.cancel(None)
    assert (one.cancelled, two.cancelled) == (True, False)
    table.sent(b"two")
    table.sent(b"two")
    table.cancel(b"two")
    assert not two.cancelled
