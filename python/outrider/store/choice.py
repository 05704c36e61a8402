"""Which store of agents the settings choose: a file of ours, a running wazuh-db, or what a package brings."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final

from outrider.codes import Code
from outrider.errors import SettingsError, StoreError
from outrider.ports import Ports
from outrider.settings import Live, Settings
from outrider.store.agents import AgentStore
from outrider.store.sqlite import SqliteStore
from outrider.store.wazuh_db import open_wazuh_db

AGENTS_FILE = ".outrider/agents.db"
"""Below the home."""

StoreFactory = Callable[[Settings, Ports], AgentStore]
"""Makes a store, of settings without the cluster's keys; it touches no disk and no network yet."""


def check_store(settings: Settings, stores: Mapping[str, StoreFactory]) -> None:
    """Raise a :class:`SettingsError` if there is no store of the name that the settings choose."""
    if (name := settings.agents.store) not in {*OWN_STORES, *stores}:
        raise SettingsError(
            f"agents.store = {name[:80]!r}: there is no such store; there are {', '.join([*OWN_STORES, *stores])}; "
            "`outrider plugins list` says why one is missing"
        ).coded(Code.NO_SUCH_STORE)


def open_agents(settings: Settings, ports: Ports, stores: Mapping[str, StoreFactory]) -> AgentStore:
    """The store of this node. It touches no disk yet: a store that cannot be used is no reason not to start."""
    check_store(settings, stores)
    name = settings.agents.store
    if (own := OWN_STORES.get(name)) is not None:
        return own(settings, ports)
    try:
        store = stores[name](settings.without_secrets(), ports)
    except Exception as error:
        raise StoreError(f"agents.store = {name!r}: the store cannot be made: {error or type(error).__name__}").coded(
            Code.STORE_OF_A_PACKAGE
        ) from error
    if missing := [method for method in _METHODS if not callable(getattr(store, method, None))]:
        raise StoreError(
            f"agents.store = {name!r}: {type(store).__name__} is no store, it has no {missing[0]}()"
        ).coded(Code.STORE_OF_A_PACKAGE)
    return store


def agents_file(settings: Settings) -> Path:
    """Where the embedded store lies."""
    return settings.node.home.resolve() / AGENTS_FILE


@contextlib.asynccontextmanager
async def agents_of(
    live: Live, ports: Ports, stores: Mapping[str, StoreFactory], own: AgentStore | None
) -> AsyncIterator[AgentStore]:
    """The store of a node while it runs: the host's ``own``, which the host closes, or that of the first settings."""
    if own is not None:
        yield own
        return
    store = open_agents(live.now, ports, stores)
    try:
        yield store
    finally:
        await store.close()


def embedded(settings: Settings, ports: Ports) -> SqliteStore:
    """The file of this node's own."""
    return SqliteStore(
        agents_file(settings),
        ports.threads,
        wall=ports.wall,
        unknown=settings.agents.unknown,
        timeout_s=settings.agents.database_timeout,
    )


def _wazuh_db(settings: Settings, ports: Ports) -> AgentStore:
    return open_wazuh_db(settings, ports.network)


OWN_STORES: Final[Mapping[str, StoreFactory]] = {"sqlite": embedded, "wazuh-db": _wazuh_db}
"""Those that every node has, by the name in the settings."""
_METHODS: Final = tuple(name for name in vars(AgentStore) if not name.startswith("_"))
