"""What answers mean, and whose fault an ``err`` is."""

from __future__ import annotations

import pytest

from outrider.errors import RecordsRefused, StoreBusyError, StoreError, UnknownAgents
from outrider.store.wazuh_db.replies import Reply, failure, read_reply


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"ok", Reply("ok", b"")),
        (b"ok ", Reply("ok", b"")),
        (b"ok\n", Reply("ok", b"")),
        (b"ok [1, 2]\n", Reply("ok", b"[1, 2]")),
        (b"due []", Reply("due", b"[]")),
        (b"err two words", Reply("err", b"two words")),
        (b"ign x", Reply("ign", b"x")),
        (b"unk x", Reply("unk", b"x")),
        (b'{"error":0}', Reply("json", b'{"error":0}')),
    ],
)
def test_a_status_and_a_payload(answer: bytes, reply: Reply) -> None:
    assert read_reply(answer) == reply


@pytest.mark.parametrize("answer", [b"", b"\n", b"err", b"due", b"okay", b"OK", b" ok", b"\xff\xfe", b"json {}"])
def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(StoreError, match="none of its answers"):
        read_reply(answer)


@pytest.mark.parametrize(
    "text",
    [
        b"Couldn't open DB global",
        b"DB global disabled.",
        b"Cannot execute Global database query; database is locked",
        b"Cannot execute Global database query; database or disk is full",
    ],
)
def test_what_speaks_of_the_database_may_work_later(text: bytes) -> None:
    error = failure(Reply("err", text))
    assert isinstance(error, StoreBusyError)
    assert text.decode() in str(error)


@pytest.mark.parametrize(
    "text",
    [
        b"Cannot execute Global database query; NOT NULL constraint failed: agent.name",
        b"Invalid JSON syntax, near 'x'",
        b"An error occurred during the set of the groups",
        b"Cannot update labels due to invalid id.",
        b"anything else",
    ],
)
def test_what_speaks_of_the_records_never_works(text: bytes) -> None:
    error = failure(Reply("err", text))
    assert type(error) is RecordsRefused
    assert str(error) == text.decode()


def test_agents_that_it_does_not_know_are_told_apart() -> None:
    text = b"Cannot execute Global database query; FOREIGN KEY constraint failed"
    error = failure(Reply("err", text))
    assert isinstance(error, UnknownAgents)
    assert str(error) == text.decode()


def test_text_that_is_no_utf8_stays_readable() -> None:
    assert str(failure(Reply("err", b"near '\xff\xfe\xc3'"))) == r"near '\xff\xfe\xc3'"


@pytest.mark.parametrize("status", ["ign", "unk"])
def test_other_statuses_are_errors_of_no_known_kind(status: str) -> None:
    error = failure(read_reply(f"{status} whatever".encode()))
    assert type(error) is StoreError
    assert f"{status} whatever" in str(error)
