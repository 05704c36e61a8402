"""What went over the wire, opened with the key: who said what to whom, and when. Inside TLS nothing is sealed."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from outrider.errors import ProtocolError
from outrider.protocol.frame import FrameReader
from outrider.protocol.seal import KeyRing

_TOKEN = b"gAAAA"
"""How what is sealed begins."""
_HOLDS_FILE_TIMES = (b"file_upd", b"file_end")


class Said(NamedTuple):
    """One message."""

    time: float
    sender: str
    receiver: str
    counter: int
    name: str
    payload: bytes


class Trace:
    """Everything said so far, in order."""

    def __init__(self, key: bytes) -> None:
        self.said: list[Said] = []
        self._ring = KeyRing([key])
        self._readers: dict[tuple[str, str], FrameReader] = {}
        self._divided: dict[tuple[str, str, int], bytes] = defaultdict(bytes)

    def see(self, time: float, sender: str, receiver: str, data: bytes) -> None:
        """Take bytes as they were written."""
        reader = self._readers.setdefault((sender, receiver), FrameReader(2**31))
        for frame in reader.feed(data):
            whole = (sender, receiver, frame.counter)
            self._divided[whole] += frame.payload
            if not frame.divided:
                plain = self._open(self._divided.pop(whole))
                self.said.append(Said(time, sender, receiver, frame.counter, frame.name.decode(), plain))

    def _open(self, token: bytes) -> bytes:
        if not token.startswith(_TOKEN):
            return token
        try:
            return self._ring.open(token, 0)
        except ProtocolError:
            return b"<sealed with another key>"

    def names(self, *, requests_only: bool = True) -> list[str]:
        """The commands, in order."""
        answers = ("ok", "err", "ok-m", "ok-c")
        return [said.name for said in self.said if not (requests_only and said.name in answers)]

    def of(self, name: str) -> list[Said]:
        """All messages of one name."""
        return [said for said in self.said if said.name == name]

    def comparable(self) -> list[Said]:
        """All of it, but for the contents of files: they hold the times of files on a real disk."""
        return [said._replace(payload=b"") if said.name.encode() in _HOLDS_FILE_TIMES else said for said in self.said]
