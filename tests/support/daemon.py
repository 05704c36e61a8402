"""A daemon as one runs beside a master: four bytes of length, little endian, then a text, both ways."""

from __future__ import annotations

import socketserver
import struct
import threading
from pathlib import Path
from typing import Self

_LENGTH = struct.Struct("<I")


class _Exchange(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        (size,) = _LENGTH.unpack(self.rfile.read(_LENGTH.size))
        answer = b"told " + self.rfile.read(size)
        self.wfile.write(_LENGTH.pack(len(answer)) + answer)


class Daemon:
    """See the module; it serves while it is entered, and repeats what it is told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server = socketserver.ThreadingUnixStreamServer(str(path), _Exchange)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
