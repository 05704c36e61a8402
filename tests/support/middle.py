"""Somebody between two real nodes: he keeps what he hears, says it again, changes what he likes, or lets them wait."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Meddle = Callable[[bytes, int], bytes]


class Middle:
    """Passes connections on to ``port``; ``heard`` holds what each client said."""

    def __init__(self, port: int) -> None:
        self.heard: list[bytearray] = []
        self.meddle: Meddle = lambda data, _: data
        self.repeat = False  # say what comes next twice
        self.room: int | None = None
        """So many bytes more reach clients; then ``held`` is set, and the rest waits until :meth:`go_on`."""
        self.held = threading.Event()
        self._going = threading.Event()
        self._port = port
        self._ends: list[socket.socket] = []
        self._passing: list[threading.Thread] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]

    @contextlib.contextmanager
    def open(self) -> Iterator[Middle]:
        accepting = threading.Thread(target=self._accept)
        accepting.start()
        try:
            yield self
        finally:
            self.go_on()
            self._door.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for end in self._ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for passing in self._passing:
                passing.join()
            for end in (self._door, *self._ends):
                end.close()

    def go_on(self) -> None:
        """Hold nothing any more."""
        self.room = None
        self._going.set()

    def _wait_for_room(self, size: int) -> None:
        room = self.room
        if room is not None:
            self.room = room - size
            if room < size:
                self.held.set()
                self._going.wait()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    client.close()
                    continue
                heard = bytearray()
                self.heard.append(heard)
                self._ends += [client, server]
                for way in ((client, server, heard), (server, client, None)):
                    self._passing.append(threading.Thread(target=self._pass, args=way))
                    self._passing[-1].start()

    def _pass(self, here: socket.socket, there: socket.socket, heard: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                if heard is not None:
                    before = len(heard)
                    heard += data
                    data = self.meddle(data, before)
                    if self.repeat:
                        self.repeat, data = False, data + data
                else:
                    self._wait_for_room(len(data))
                there.sendall(data)
        for end in (here, there):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
