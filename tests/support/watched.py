"""A node as the HTTP room sees one: its status is a real one, which a test fills; and a browser of one request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from msgspec import structs

from outrider.errors import StoreError
from outrider.http import server
from outrider.http.watched import Watched
from outrider.model import NodeInfo
from outrider.overview import NodeView, Overview, failures_of, syncs_of, view_of
from outrider.settings import Settings
from outrider.status import LinkState, Standing, Status
from outrider.store.agents import AgentStore
from outrider.world import real_ports


class Shown:
    """A node of this type that knows ``others``; it stands where its status says."""

    def __init__(self, type_: str = "master", **settings: Any) -> None:
        given = {"node.name": "node01", "http.port": 0, **{f"http.{name}": value for name, value in settings.items()}}
        self.settings = Settings.from_mapping(given)
        self.ports = real_ports()
        self.status = Status()
        self.running = True
        self.others: list[NodeView] = []
        self.missing = ""
        self.store: AgentStore | None = None
        self._type = type_

    @property
    def agents(self) -> AgentStore:
        if self.store is None:
            raise StoreError("no store")
        return self.store

    def get_node(self) -> NodeInfo:
        return NodeInfo(name="node01", type=self._type, version="4.9.2", address="192.0.2.1")

    def look(self) -> Overview:
        snapshot = self.status.snapshot()
        link = LinkState(connected=True) if self._type == "master" else snapshot.link
        return Overview(
            cluster="wazuh",
            told_by="node01",
            at=2000.0,
            nodes=[view_of(self.get_node(), link, snapshot.standing), *self.others],
            syncs=syncs_of(self.status, "node01"),
            failures=failures_of(snapshot),
        )

    async def cluster(self) -> Overview:
        return structs.replace(self.look(), missing=self.missing)


def other(name: str, **standing: Any) -> NodeView:
    """A worker that is connected."""
    info = NodeInfo(name=name, type="worker", version="4.9.2", address="192.0.2.7")
    return view_of(info, LinkState(connected=True, since=10.0), Standing(**standing))


class Answer:
    """What came of a request."""

    def __init__(self, response: HTTPResponse) -> None:
        self.code = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.text = response.read().decode()


@asynccontextmanager
async def served(node: Watched) -> AsyncIterator[int]:
    """Its port, while its server runs."""
    serving = server(node)
    running = asyncio.create_task(serving.run())
    try:
        while not serving.addresses:
            await asyncio.wait([running], timeout=0.01)
            assert not running.done(), running.exception()
        yield serving.addresses[0][1]
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def fetch(
    port: int, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, host: str = "127.0.0.1"
) -> Answer:
    """Ask a server on this machine."""

    def ask() -> Answer:
        connection = HTTPConnection(host, port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=headers is not None and "host" in headers)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            return Answer(connection.getresponse())
        finally:
            connection.close()

    return await asyncio.to_thread(ask)
