"""Streams to programs of this machine, over unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

from outrider.codes import Code
from outrider.errors import TransportError
from outrider.ports import Listener

_DIAL_TIMEOUT_S = 20
_BACKLOG = 128
_MODE = 0o660
_LONGEST_PATH = 107
"""Bytes that the system has for the path of a unix socket."""


class LocalListener:
    """A bound socket; closing it removes its file, unless another has taken the place."""

    def __init__(self, server: asyncio.Server, path: Path) -> None:
        self._server = server
        self._path = path
        self._file = _identity(path)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """None: it has a path."""
        return []

    def close(self) -> None:
        """Accept no more."""
        self._server.close()
        if _identity(self._path) == self._file:
            with contextlib.suppress(OSError):
                self._path.unlink()


class LocalSockets:
    """The part of :class:`outrider.ports.Network` that reaches programs beside this one."""

    async def dial_local(self, path: Path, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.BaseProtocol:
        """Connect to the unix socket at ``path``."""
        try:
            async with asyncio.timeout(_DIAL_TIMEOUT_S):
                _, protocol = await asyncio.get_running_loop().create_unix_connection(factory, str(path))
        except TimeoutError:
            raise TransportError(f"no answer within {_DIAL_TIMEOUT_S} s").coded(Code.NO_ANSWER) from None
        except OSError as error:
            # A path that is too long for the system has no number, only words.
            raise TransportError(str(error) if error.errno is None else os.strerror(error.errno)) from error
        return protocol

    async def listen_local(
        self, path: Path, factory: Callable[[], asyncio.BaseProtocol], *, owner: tuple[int, int] | None = None
    ) -> Listener:
        """Listen at ``path``; its folder is there already."""
        if (size := len(os.fsencode(path))) > _LONGEST_PATH:
            raise TransportError(
                f"the path {path} has {size} bytes, {_LONGEST_PATH} is the most: set a shorter local.socket"
            ).coded(Code.LOCAL_SOCKET)
        try:
            # Nothing up to the server's start waits: whoever is cancelled here leaves no socket open.
            door = _bound(path, owner)
            loop = asyncio.get_running_loop()
            server = await loop.create_unix_server(factory, sock=door, backlog=_BACKLOG, start_serving=False)
        except OSError as error:
            raise TransportError(f"cannot listen at {path}: {error.strerror or error}").coded(
                Code.LOCAL_SOCKET
            ) from error
        listener = LocalListener(server, path)
        try:
            await server.start_serving()
        except BaseException:
            listener.close()
            raise
        return listener


def _bound(path: Path, owner: tuple[int, int] | None) -> socket.socket:
    """A socket at ``path`` that nobody can reach before its mode and owner are set."""
    _make_way(path)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(door.fileno(), _MODE)  # the file is made with no more than this
        door.bind(str(path))
        path.chmod(_MODE)  # and gets all of it, whatever the process's mask
        if owner is not None:
            os.chown(path, *owner, follow_symlinks=False)
    except BaseException:
        door.close()
        raise
    return door


def _make_way(path: Path) -> None:
    """Remove the socket of a node that is dead; :class:`TransportError` if somebody listens, or it is no socket."""
    if not path.is_socket():
        if path.exists() or path.is_symlink():
            raise TransportError(f"{path} is no socket: move it away, or set another local.socket").coded(
                Code.LOCAL_SOCKET
            )
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:  # it lives, and many wait
            pass
        except FileNotFoundError:
            return
    raise TransportError(f"another program listens at {path}: stop it, or set another local.socket").coded(
        Code.LOCAL_SOCKET
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is; ``None`` if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
