"""Messages on wazuh-db's socket (specification 6.1): four bytes of length, little endian, then the text.

The cluster's own link is big endian; see ``protocol.frame`` for that one.
"""

from __future__ import annotations

from collections.abc import Iterator

from outrider.codes import Code
from outrider.errors import RecordsRefused, StoreError

LARGEST = 65_536
"""Bytes of a message, both ways."""
_HEADER = 4


def pack_request(request: bytes) -> bytes:
    """A request as it goes on the wire; :class:`RecordsRefused` if wazuh-db cannot take it.

    A larger one is not just refused: it ends one of the eight threads that serve everybody, for good.
    """
    if len(request) > LARGEST:
        raise RecordsRefused(f"this takes a request of {len(request):,} bytes, and wazuh-db reads at most {LARGEST:,}")
    if not request:
        raise RecordsRefused("an empty request: wazuh-db would close the connection")
    return len(request).to_bytes(_HEADER, "little") + request


class AnswerReader:
    """Takes a stream in any pieces and gives whole answers."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes of an answer that is not whole."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Answers that are whole now; :class:`StoreError` at one that is announced too large, before it is held."""
        self._buffer += data
        while len(self._buffer) >= _HEADER:
            end = _HEADER + int.from_bytes(self._buffer[:_HEADER], "little")
            if end > _HEADER + LARGEST:
                raise StoreError(
                    f"wazuh-db announces an answer of {end - _HEADER:,} bytes, more than its {LARGEST:,}: "
                    "does something else listen at agents.wazuh_db_socket?"
                ).coded(Code.STRANGE_WAZUH_DB)
            if len(self._buffer) < end:
                return
            answer = bytes(self._buffer[_HEADER:end])
            del self._buffer[:end]
            yield answer
