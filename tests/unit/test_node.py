"""What both roles are built of: settings that are refused, and what is closed unless the node runs."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tests.support.loop import run
from tests.support.network import Fabric
from tests.support.ports import simulated_ports

from outrider import Master, Settings, Worker
from outrider.errors import SettingsError, StoreError

ROLES = [(Worker, "worker"), (Master, "master")]


def settings(home: Path, **more: object) -> Settings:
    """Of either role."""
    return Settings.from_mapping({"node.name": "n", "node.home": str(home), "link.nodes": ["10.0.0.1"], **more})


@pytest.mark.parametrize(("role", "name"), ROLES)
def test_without_a_cluster_key_neither_role_is_made(tmp_path: Path, role: type[Worker | Master], name: str) -> None:
    with pytest.raises(SettingsError, match=rf"link\.key: a {name} needs the cluster key"):
        role(settings(tmp_path))


@pytest.mark.parametrize(("role", "name"), ROLES)
def test_a_reload_is_refused_where_the_start_would_be(tmp_path: Path, role: type[Worker | Master], name: str) -> None:
    async def story() -> None:
        ports = simulated_ports(Fabric(Random(1)), "10.0.0.1")
        node = role(settings(tmp_path, **{"link.key": "k" * 32}), ports)
        assert node.get_node().type == name
        before = node.settings
        with pytest.raises(SettingsError, match=r"agents\.store"):
            await node.reload(settings(tmp_path, **{"link.key": "k" * 32, "agents.store": "nobodys"}))
        assert node.settings == before

    run(story())


@pytest.mark.parametrize("role", [Worker, Master])
def test_what_only_a_running_node_has_is_refused_before_and_after(tmp_path: Path, role: type[Worker | Master]) -> None:
    async def story() -> None:
        fabric = Fabric(Random(1))
        node = role(settings(tmp_path, **{"link.key": "k" * 32}), simulated_ports(fabric, "10.0.0.1"))

        def closed() -> None:
            assert not node.running
            with pytest.raises(StoreError, match="its store of agents is closed"):
                _ = node.agents
            with pytest.raises(StoreError, match="takes no requests"):
                _ = node.routes

        closed()
        async with node:
            assert node.running
            assert node.agents
            assert node.routes
        closed()

    run(story())
