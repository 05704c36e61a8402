"""Dask workers, processes of a real cluster, whose folders follow a master in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from tests.support.embedded import KEY, embedded

from outrider import SettingsError, SyncMaster
from outrider.integrations.dask import NAME, KeptFolder, kept, wait_for

WITHIN_S = 60


class Stage:
    """A master with its files, and a client of two Dask workers."""

    def __init__(self, master: SyncMaster, client: Client) -> None:
        self.master = master
        self.client = client
        self.tree = master.node.settings.node.home / "tree"

    def settings(self, **changes: Any) -> dict[str, Any]:
        port = self.master.addresses[0][1]
        link = {"link.nodes": ["127.0.0.1"], "link.port": port, "link.key": KEY}
        return {**link, "tree.files": [{"folder": "tree/"}], **changes}

    def keep(self, **options: Any) -> None:
        self.client.register_plugin(KeptFolder(self.settings(), **options))

    def publish(self, text: str) -> int:
        (self.tree / "file").write_text(text)
        return self.master.publish()

    def everywhere(self, task: Any, *arguments: Any) -> list[Any]:
        """What a task returns on each Dask worker."""
        workers = list(self.client.scheduler_info()["workers"])
        futures = [self.client.submit(task, *arguments, workers=[one], pure=False) for one in workers]
        return list(self.client.gather(futures))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("dask")
    with ExitStack() as open_:
        master = open_.enter_context(SyncMaster(embedded(folder / "master")))
        local = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(folder / "local"),
        )
        open_.enter_context(local)
        yield Stage(master, open_.enter_context(Client(local)))


@pytest.fixture
def stage(cluster: Stage) -> Iterator[Stage]:
    yield cluster
    if NAME in next(iter(cluster.client.run(_plugins).values())):
        cluster.client.unregister_worker_plugin(NAME)


def _plugins(dask_worker: Any) -> list[str]:
    return list(dask_worker.plugins)


def _read(generation: int) -> tuple[str, str, str]:
    home = wait_for(generation, WITHIN_S)
    return kept().settings.node.name, str(home), (home / "tree/file").read_text()


async def _read_on_the_loop(generation: int) -> str:
    node = kept()
    await node.wait_for(generation, WITHIN_S)
    return (node.settings.node.home / "tree/file").read_text()


async def _wait_on_the_loop() -> None:
    wait_for(1)


def test_tasks_find_the_files_of_the_generation_that_they_wait_for(stage: Stage) -> None:
    stage.keep()
    for text in ("one", "two"):
        read = stage.everywhere(_read, stage.publish(text))
        names, homes, texts = (set(values) for values in zip(*read, strict=True))
        assert texts == {text}
        assert len(names) == len(homes) == 2
        assert all(name.startswith("dask-") for name in names)
        assert stage.everywhere(_read_on_the_loop, stage.master.generation) == [text] * 2


def test_what_cannot_be_waited_for_is_told(stage: Stage) -> None:
    with pytest.raises(RuntimeError, match=r"no folder is kept on this Dask worker: client\.register_plugin"):
        stage.everywhere(_read, 1)
    with pytest.raises(ValueError, match=r"[Nn]o worker"):
        wait_for(1)
    stage.keep()
    with pytest.raises(TimeoutError, match=r"stands at generation \d+, and did not reach 1000 within 0 s"):
        stage.everywhere(wait_for, 1000, 0)
    with pytest.raises(TypeError, match=r"await kept\(\)\.wait_for"):
        stage.everywhere(_wait_on_the_loop)


def test_settings_that_do_not_hold_are_raised_where_the_plugin_is_registered(stage: Stage) -> None:
    with pytest.raises(SettingsError, match=r"link\.port"):
        stage.client.register_plugin(KeptFolder(stage.settings(**{"link.port": "many"})))


def test_a_home_ends_with_its_plugin_unless_it_is_one_that_stays(stage: Stage, tmp_path: Path) -> None:
    stage.keep()
    generation = stage.publish("three")
    homes = [Path(home) for _, home, _ in stage.everywhere(_read, generation)]
    assert all(home.is_dir() for home in homes)
    stage.client.unregister_worker_plugin(NAME)
    assert not any(home.exists() for home in homes)
    stage.keep(home=f"{tmp_path}/{{name}}")
    read = stage.everywhere(_read, generation)
    assert {(name, home) for name, home, _ in read} == {(f"dask-{one}", str(tmp_path / one)) for one in ("0", "1")}
    stage.client.unregister_worker_plugin(NAME)
    assert {file.read_text() for file in tmp_path.glob("*/tree/file")} == {"three"}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_dask_worker_that_is_started_again_gets_its_folder_again(stage: Stage) -> None:
    stage.keep()
    generation = stage.publish("four")
    before = stage.everywhere(_read, generation)
    stage.client.restart()
    after = stage.everywhere(_read, generation)
    assert {text for _, _, text in after} == {"four"}
    assert not {name for name, _, _ in before} & {name for name, _, _ in after}
