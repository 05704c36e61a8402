"""A gap between a worker and its master: one end of a connection is lost, the other does not hear of it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

_RESET = struct.pack("ii", 1, 0)


class HalfOpen:
    """Passes connections on to ``port`` until :meth:`lose`: then those to the port stay open, and nothing moves."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[socket.socket] = []
        self._servers: list[socket.socket] = []
        self._lost: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]

    @contextlib.contextmanager
    def open(self) -> Iterator[HalfOpen]:
        self._start(self._accept)
        try:
            yield self
        finally:
            self._door.shutdown(socket.SHUT_RDWR)
            for end in (*self._clients, *self._servers):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for thread in self._threads:
                thread.join()
            for end in (self._door, *self._clients, *self._servers):
                end.close()

    def lose(self) -> None:
        """Reset the clients that there are; their servers hear nothing of it."""
        self._lost.update(self._servers)
        for client in self._clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._clients.append(client)
                self._servers.append(server)
                self._start(self._pass, client, server)
                self._start(self._pass, server, client)

    def _pass(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                there.sendall(data)
        if here not in self._lost and there not in self._lost:
            with contextlib.suppress(OSError):
                there.shutdown(socket.SHUT_RDWR)
