"""``outrider worker`` and ``master``: one node runs until it ends or a signal asks it to."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from tests.support.loop import run

from outrider.cli.nodes import until_signal
from outrider.cli.options import Failure
from outrider.errors import SettingsError, StoreError
from outrider.settings import Reloaded, Settings


class Node:
    """A role without a cluster; ``signals`` are sent to this process once it runs."""

    def __init__(self, *signals: int) -> None:
        self._signals = list(signals)
        self._stop = asyncio.Event()
        self.started = asyncio.Event()
        self.story: list[str] = []

    async def run(self) -> None:
        self.story.append("runs")
        if self._signals:
            os.kill(os.getpid(), self._signals.pop(0))
        try:
            await self._stop.wait()
        except asyncio.CancelledError:
            self.story.append("cancelled")
            raise
        self.story.append("ended")

    async def stop(self) -> None:
        self.story.append("asked")
        self._stop.set()

    async def reload(self) -> Reloaded:
        self.story.append("reloads")
        os.kill(os.getpid(), self._signals.pop(0))
        raise SettingsError("they are not valid")

    def state(self) -> str:
        return "well"


class Stubborn(Node):
    """Does not end when it is asked to; time passes in steps of an eighth of a second."""

    async def run(self) -> None:
        self.story.append("runs")
        os.kill(os.getpid(), self._signals.pop(0))
        try:
            for _ in range(100):
                await asyncio.sleep(1 / 8)
        except asyncio.CancelledError:
            self.story.append("cancelled")
            raise

    async def stop(self) -> None:
        self.story.append("asked")
        os.kill(os.getpid(), self._signals.pop(0))
        await asyncio.sleep(2)
        self.story.append("asked again")
        os.kill(os.getpid(), self._signals.pop(0))
        await asyncio.sleep(2)
        self.story.append("not heard")


def story_of(node: Node) -> list[str]:
    settings = Settings.from_mapping({})
    asyncio.run(until_signal(lambda _: node, settings))
    return node.story


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_the_node_to_stop_in_good_order(number: int) -> None:
    assert story_of(Node(number)) == ["runs", "asked", "ended"]


def test_a_hangup_has_the_settings_loaded_again_and_ends_nothing() -> None:
    assert story_of(Node(signal.SIGHUP, signal.SIGTERM)) == ["runs", "reloads", "asked", "ended"]


def test_at_a_terminal_a_hangup_ends_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = os.openpty()
    with os.fdopen(far) as terminal, os.fdopen(near):
        monkeypatch.setattr("sys.stdin", terminal)
        assert story_of(Node(signal.SIGHUP)) == ["runs", "asked", "ended"]


def test_a_second_signal_does_not_wait_and_one_that_came_twice_is_one() -> None:
    """The second of the three comes at once, as from ``timeout``, which signals its child and then its group."""
    node = Stubborn(signal.SIGTERM, signal.SIGTERM, signal.SIGINT)
    with pytest.raises(Failure, match="stopped at once"):
        run(until_signal(lambda _: node, Settings.from_mapping({})))
    assert node.story == ["runs", "asked", "asked again", "cancelled"]


def test_a_node_that_cannot_stop_says_why() -> None:
    class Stuck(Node):
        async def stop(self) -> None:
            raise StoreError("journal lost")

    with pytest.raises(StoreError, match="journal lost"):
        story_of(Stuck(signal.SIGTERM))


def test_what_ends_the_node_reaches_the_command_line() -> None:
    class Broken(Node):
        async def run(self) -> None:
            raise StoreError("disk full")

    with pytest.raises(StoreError, match="disk full"):
        story_of(Broken())
