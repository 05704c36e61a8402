"""The far end played by hand: a master or a worker that says what a test tells it to say."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

from tests.support.channels import Serve, Side, say
from tests.support.cluster import KEY, MASTER, PORT, Cluster
from tests.support.ports import simulated_ports

from outrider.protocol import commands as c
from outrider.protocol.bodies import TransferPath
from outrider.protocol.commands import Command
from outrider.protocol.seal import KeyRing
from outrider.transport.answers import Reply

_RING = KeyRing([KEY.encode()])


class PlayedMaster:
    """A master without files: it lets everybody in and permits nothing, unless ``serves`` says otherwise."""

    def __init__(self, cluster: Cluster, serves: Mapping[Command, Serve] | None = None) -> None:
        self.sides: list[Side] = []
        self.times: list[float] = []
        self.serves: dict[Command, Serve] = {
            c.ECHO: Reply,
            c.HELLO: say(b"Client added"),
            c.KEEP_ALIVE: lambda payload: Reply(payload, c.OK_KEEP_ALIVE),
            c.INTEGRITY_PERMISSION: say(b"False"),
            c.AGENT_INFO_PERMISSION: say(b"False"),
            **(serves or {}),
        }
        self._ports = simulated_ports(cluster.fabric, MASTER)

    async def listen(self) -> PlayedMaster:
        await self._ports.network.listen("", PORT, self._accept)
        return self

    def _accept(self) -> asyncio.BaseProtocol:
        side = Side(self._ports, self.serves, _RING, None)
        side.channel.connection.known()
        self.sides.append(side)
        self.times.append(self._ports.monotonic())
        return side.channel

    @property
    def side(self) -> Side:
        """The last connection."""
        return self.sides[-1]


async def played_worker(
    cluster: Cluster, name: str = "worker1", serves: Mapping[Command, Serve] | None = None, *, hello: bool = True
) -> Side:
    """Connect to the master as a worker; say hello unless told otherwise."""
    ports = simulated_ports(cluster.fabric, cluster.address(name))
    side = Side(ports, {c.ECHO: Reply, **(serves or {})}, _RING, None)
    await ports.network.dial(MASTER, PORT, lambda: side.channel)
    if hello:
        side.channel.connection.known()
        await side.channel.request(c.HELLO, f"{name} wazuh worker 4.9.2".encode(), 20)
    return side


async def send_file(side: Side, worker: str, data: bytes, *, whole: bool = True) -> TransferPath:
    """Send ``data`` as a file of ``worker``'s, by hand; without its end unless ``whole``."""
    path = TransferPath(worker, f"{worker}-1700000000.5-{len(data):032x}.zip")
    await side.channel.request(c.NEW_FILE, path.rooted, 20)
    await side.channel.request(c.FILE_UPD, path.rooted + b" " + data, 20)
    if whole:
        await side.channel.request(c.FILE_END, path.rooted + b" " + hashlib.sha256(data).digest(), 20)
    return path
