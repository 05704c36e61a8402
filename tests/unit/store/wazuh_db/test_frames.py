"""Messages to and from wazuh-db, byte by byte: the examples of specification 8.12, and the limits."""

from __future__ import annotations

import pytest

from outrider.errors import RecordsRefused, StoreError
from outrider.store.wazuh_db.frames import LARGEST, AnswerReader, pack_request

REQUEST = bytes.fromhex("1d000000676c6f62616c2073796e632d6167656e742d696e666f2d676574207b7d")
ANSWER = bytes.fromhex(
    "420000006f6b205b7b2264617461223a5b5d2c2268617368223a2231643635656439663030633532646237303634386132643136373164"
    "346134343966643534393533227d5d"
)


def test_a_request_of_the_specification() -> None:
    assert pack_request(b"global sync-agent-info-get {}") == REQUEST


def test_an_answer_of_the_specification() -> None:
    answers = [b'ok [{"data":[],"hash":"1d65ed9f00c52db70648a2d1671d4a449fd54953"}]']
    assert list(AnswerReader().feed(ANSWER)) == answers


def test_the_largest_request_is_sent_and_one_byte_more_is_not() -> None:
    assert pack_request(b"x" * LARGEST)[:4] == b"\0\0\1\0"
    with pytest.raises(RecordsRefused, match="65,537 bytes, and wazuh-db reads at most 65,536"):
        pack_request(b"x" * (LARGEST + 1))


def test_an_empty_request_is_not_sent() -> None:
    with pytest.raises(RecordsRefused, match="empty"):
        pack_request(b"")


def test_the_largest_answer_is_read() -> None:
    assert list(AnswerReader().feed(b"\0\0\1\0" + b"x" * LARGEST)) == [b"x" * LARGEST]


@pytest.mark.parametrize("header", [b"\1\0\1\0", b"\xff\xff\xff\xff", b"\x00\x00\x00\x10"])
def test_an_answer_announced_too_large_is_refused_at_its_header(header: bytes) -> None:
    reader = AnswerReader()
    answers = reader.feed(b"\2\0\0\0ok" + header)
    assert next(answers) == b"ok"
    with pytest.raises(StoreError, match=r"agents\.wazuh_db_socket"):
        next(answers)
    assert reader.buffered == 4


def test_an_empty_answer_is_an_answer() -> None:
    assert list(AnswerReader().feed(b"\0\0\0\0\2\0\0\0ok")) == [b"", b"ok"]
