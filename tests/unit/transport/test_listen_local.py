"""Listening on a unix socket: its mode, its place, and who may be there already."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from outrider.errors import TransportError
from outrider.transport.local import LocalSockets


class Door(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"in")
        transport.close()


async def knock(path: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    said = await reader.read()
    writer.close()
    return said


def test_the_socket_has_its_mode_and_owner_whatever_the_mask(tmp_path: Path) -> None:
    path = tmp_path / "door"
    owner = (12, 34) if os.geteuid() == 0 else (os.getuid(), (os.getgroups() or [os.getgid()])[-1])

    async def run() -> None:
        mask = os.umask(0o077)
        try:
            listener = await LocalSockets().listen_local(path, Door, owner=owner)
        finally:
            os.umask(mask)
        assert (path.stat().st_uid, path.stat().st_gid) == owner
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert await knock(path) == b"in"
        assert listener.addresses == []
        listener.close()
        assert not path.exists()

    asyncio.run(run())


def test_a_dead_node_s_socket_is_replaced_and_a_live_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "door"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def run() -> None:
        listener = await LocalSockets().listen_local(path, Door)
        with pytest.raises(TransportError, match=r"another program listens at .*: stop it, or set another"):
            await LocalSockets().listen_local(path, Door)
        assert await knock(path) == b"in"
        listener.close()

    asyncio.run(run())


def test_what_is_no_socket_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "door"
    path.write_text("a file")

    async def run() -> None:
        with pytest.raises(TransportError, match="is no socket: move it away"):
            await LocalSockets().listen_local(path, Door)

    asyncio.run(run())
    assert path.read_text() == "a file"


def test_another_s_socket_in_the_same_place_outlives_us(tmp_path: Path) -> None:
    path = tmp_path / "door"

    async def run() -> None:
        ours = await LocalSockets().listen_local(path, Door)
        path.unlink()
        path.write_text("kept so that the number of the file is not used again")
        path.rename(tmp_path / "other")
        theirs = await LocalSockets().listen_local(path, Door)
        ours.close()
        assert await knock(path) == b"in"
        theirs.close()
        assert not path.exists()

    asyncio.run(run())


def test_a_path_that_is_too_long_or_leads_nowhere_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(TransportError, match=r"has 111 bytes, 107 is the most: set a shorter local.socket"):
            await LocalSockets().listen_local(Path("/" + "x" * 110), Door)
        with pytest.raises(TransportError, match="No such file or directory"):
            await LocalSockets().listen_local(tmp_path / "none" / "door", Door)

    asyncio.run(run())
