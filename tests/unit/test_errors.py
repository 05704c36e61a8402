"""What errors say of themselves: how they are tried again, and under which code they are explained."""

from __future__ import annotations

import errno

import pytest

from outrider.codes import Code
from outrider.errors import (
    Line,
    OutriderError,
    ProtocolError,
    Refusal,
    RefusedByPeer,
    SettingsError,
    StoreBusyError,
    StoreError,
    SyncError,
    TransportError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutriderError("x"), "OUT-1000"),
        (TransportError("x"), "OUT-1201"),
        (TransportError("x").coded(Code.TLS), "OUT-1206"),
        (ProtocolError("x"), "OUT-1302"),
        (ProtocolError("x", "limits.frame_bytes"), "OUT-1304"),
        (Refusal(3022), "3022"),
        (RefusedByPeer(3028), "3028"),
        (StoreError("x"), "OUT-1701"),
        (StoreError("x", errno.ENOSPC), "OUT-1702"),
        (StoreError("x", errno.EROFS), "OUT-1703"),
        (StoreError("x", errno.ENOENT), "OUT-1704"),
        (StoreError("x", errno.EIO), "OUT-1705"),
        (StoreError("x", errno.EMFILE), "OUT-1701"),
        (StoreBusyError("x", errno.EMFILE), "OUT-1707"),
        (SyncError("y").like(StoreError("x", errno.ENOSPC)), "OUT-1702"),
    ],
)
def test_the_code_is_of_the_class_the_place_or_the_system(error: OutriderError, code: str) -> None:
    assert error.situation == code
    assert error.lines[0].code == code


def test_settings_have_a_code_for_each_line() -> None:
    error = SettingsError(Line("a", Code.UNKNOWN_KEY), Line("b", Code.HOME))
    assert str(error) == "a\nb"
    assert error.lines == (Line("a", "OUT-1004"), Line("b", "OUT-1008"))
    assert [line.code for line in SettingsError("a\nb").lines] == ["OUT-1001"] * 2
    assert [line.code for line in SettingsError("a\nb").coded(Code.HOME).lines] == ["OUT-1008"] * 2


def test_other_errors_have_it_on_their_first_line_alone() -> None:
    assert TransportError("a\nb").lines == (Line("a", "OUT-1201"), Line("b", ""))
    assert TransportError().lines == (Line("TransportError", "OUT-1201"),)
