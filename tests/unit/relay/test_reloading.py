"""Other settings are taken as a whole or not at all, and told once; what a node does with them is no matter here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.loop import run
from tests.support.network import Fabric
from tests.support.ports import simulated_ports

from outrider.errors import SettingsError
from outrider.logs import Tag, task_logger
from outrider.relay.reloading import Reloading
from outrider.settings import Live, Settings
from outrider.status import Status

KEY = "0123456789abcdefghijklmnopqrstuv"


class Stage:
    """The settings of a node that is none."""

    def __init__(self, settings: Settings) -> None:
        self.live, self.shown = Live(settings), Live(settings.without_secrets())
        self.status = Status()
        self.read_again = 0
        self.reloading = Reloading(
            self.live,
            self.shown,
            ports=simulated_ports(Fabric(Random(1)), "here"),
            status=self.status,
            log=task_logger(Tag.CLUSTER, "n1"),
            check=self._check,
            then=self._then,
        )

    def _check(self, settings: Settings) -> None:
        if settings.limits.tasks == 13:
            raise SettingsError("limits.tasks = 13: no luck\nlimits.files: none either")

    async def _then(self) -> None:
        self.read_again += 1

    @property
    def note(self) -> str | None:
        return self.status.snapshot().notes.get("settings")


def on_stage(settings: Settings, story: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        await story(Stage(settings))

    run(whole())


def settings(**changes: Any) -> Settings:
    return Settings.from_mapping({"link.key": KEY, **{key.replace("__", "."): one for key, one in changes.items()}})


def test_both_faces_see_the_new_ones_and_one_of_them_no_key() -> None:
    async def story(stage: Stage) -> None:
        await stage.reloading.reload(settings(limits__tasks=5))
        assert stage.live.now.limits.tasks == stage.shown.now.limits.tasks == 5
        assert stage.live.now.link.key is not None
        assert stage.shown.now.link.key is None
        assert stage.read_again == 1

    on_stage(settings(), story)


def test_what_the_node_would_not_start_with_is_refused_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        before = stage.live.now
        with pytest.raises(SettingsError, match="no luck"):
            await stage.reloading.reload(settings(limits__tasks=13, limits__open_files=3))
        assert stage.live.now is before
        assert stage.read_again == 0
        assert stage.note == f"not taken, those of before are in force: {REFUSED}"
        await stage.reloading.reload(settings())
        assert stage.note is None

    on_stage(settings(), story)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        f"the settings were not taken, those of before are in force: {REFUSED}"
    ]


REFUSED = "limits.tasks = 13: no luck; limits.files: none either"


def test_a_new_warning_is_told_and_an_old_one_is_not_told_again(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        several = settings(link__nodes=["10.0.0.1", "10.0.0.2"])
        await stage.reloading.reload(several)
        await stage.reloading.reload(several)

    on_stage(settings(), story)
    assert caplog.text.count("only the first of 2 addresses is used") == 1


def test_what_a_host_made_is_not_followed_and_not_read_again() -> None:
    async def story(stage: Stage) -> None:
        await stage.reloading.follow()
        with pytest.raises(SettingsError, match="made by the program"):
            await stage.reloading.reload()

    on_stage(settings(), story)


def test_what_was_read_at_a_word_is_not_read_again_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "outrider.toml"
    file.write_text("[limits]\ntasks = 5\n", "utf-8")

    async def story(stage: Stage) -> None:
        following = asyncio.ensure_future(stage.reloading.follow())
        await asyncio.sleep(3)
        file.write_text("[limits]\ntasks = 66\n", "utf-8")
        await stage.reloading.reload()
        await asyncio.sleep(10)
        following.cancel()
        assert stage.read_again == 1

    with caplog.at_level(logging.INFO, "outrider"):
        on_stage(Settings.load(file, {}), story)
    assert caplog.text.count("settings changed: limits.tasks: 5 -> 66") == 1
