"""Frames, byte by byte: the worked examples of specification 8.1, 8.3 and 8.4."""

from __future__ import annotations

import pytest

from outrider.errors import ProtocolError
from outrider.protocol.commands import OK_KEEP_ALIVE, OK_NEW_FILE
from outrider.protocol.frame import HEADER, REQUEST_CHUNK, Frame, FrameReader, pack_frame, pack_message

HELLO = bytes.fromhex("000000010000001a68656c6c6f202d2d2d2d2d2d776f726b6572312077617a756820776f726b657220342e392e32")


def headers(message: bytes) -> list[str]:
    found = []
    while message:
        found.append(message[:20].hex())
        message = message[20 + int.from_bytes(message[4:8]) :]
    return found


def test_hello_is_the_specifications() -> None:
    assert pack_frame(1, b"hello", b"worker1 wazuh worker 4.9.2") == HELLO
    assert list(FrameReader(100).feed(HELLO)) == [Frame(1, b"hello", False, b"worker1 wazuh worker 4.9.2")]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (b"syn_m_c", b"syn_m_c ----"),
        (b"syn_m_c_ok", b"syn_m_c_ok -"),
        (b"syn_g_m_w_c", b"syn_g_m_w_c "),
        (b"ok", b"ok ---------"),
        (OK_NEW_FILE, b"ok  --------"),
        (OK_KEEP_ALIVE, b"ok-m  ------"),
        (b"err", b"err --------"),
    ],
)
def test_the_command_field(name: bytes, field: bytes) -> None:
    packed = pack_frame(7, name, b"")
    assert packed[8:] == field
    (frame,) = FrameReader(0).feed(packed)
    assert frame.name == name.strip()
    assert not frame.divided


def test_the_flag_overwrites_the_space_of_a_long_name() -> None:
    packed = pack_frame(7, b"syn_g_m_w_c", b"", b"d")
    assert packed[8:] == b"syn_g_m_w_cd"
    assert list(FrameReader(0).feed(packed)) == [Frame(7, b"syn_g_m_w_c", True, b"")]


def test_what_follows_the_first_space_is_not_checked() -> None:
    packed = HEADER.pack(1, 0, b"hello X1----")
    assert list(FrameReader(0).feed(packed)) == [Frame(1, b"hello", False, b"")]


@pytest.mark.parametrize("name", [b"", b"sendsync_err"])
def test_a_name_that_does_not_fit_is_our_own_mistake(name: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 11 bytes"):
        pack_frame(1, name, b"")


def test_a_large_message_without_a_seal_is_divided_as_in_8_4() -> None:
    payload = bytes(2 * REQUEST_CHUNK)
    message = pack_message(5, b"echo", payload, len(payload))
    assert headers(message) == [
        "00000005004fffec6563686f202d2d2d2d2d2d64",
        "00000005004fffec6563686f202d2d2d2d2d2d64",
        "00000005000000286563686f202d2d2d2d2d2d2d",
    ]
    assert len(message) == len(payload) + 60


def test_a_sealed_message_is_divided_by_its_plain_size_as_in_8_4() -> None:
    token = bytes(6_990_604)
    assert headers(pack_message(5, b"syn_g_m_w_c", token, REQUEST_CHUNK + 1)) == [
        "00000005004fffec73796e5f675f6d5f775f6364",
        "00000005001aab2073796e5f675f6d5f775f632d",
    ]
    assert headers(pack_message(5, b"syn_g_m_w_c", token, REQUEST_CHUNK)) == [
        "00000005006aab0c73796e5f675f6d5f775f6320",
    ]


def test_the_scaled_example_of_8_4() -> None:
    payload = bytes(range(100))
    message = pack_message(6, b"echo", payload, len(payload), part_bytes=44)
    header = "000000060000002c6563686f202d2d2d2d2d2d64"
    assert message == (
        bytes.fromhex(header)
        + payload[:44]
        + bytes.fromhex(header)
        + payload[44:88]
        + bytes.fromhex("000000060000000c6563686f202d2d2d2d2d2d2d")
        + payload[88:]
    )


def test_an_empty_message_is_one_frame() -> None:
    assert headers(pack_message(6, b"echo", b"", 0, part_bytes=44)) == ["00000006000000006563686f202d2d2d2d2d2d2d"]


def test_threat_01_what_a_header_declares_reserves_nothing() -> None:
    reader = FrameReader(64 * 1024)
    with pytest.raises(ProtocolError, match="declares 4294967295 bytes; the limit here is 65536"):
        list(reader.feed(HEADER.pack(1, 2**32 - 1, b"hello ------")))
    patient = FrameReader(2**32)
    assert list(patient.feed(HEADER.pack(1, 2**32 - 1, b"hello ------"))) == []
    assert patient.buffered == HEADER.size


def test_the_limit_may_be_raised_between_two_frames_of_one_read() -> None:
    reader = FrameReader(4)
    names = []
    for frame in reader.feed(pack_frame(1, b"ok", b"four") + pack_frame(2, b"echo", b"five!")):
        names.append(frame.name)
        reader.limit = 5
    assert names == [b"ok", b"echo"]
    assert reader.buffered == 0
