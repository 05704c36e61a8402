"""Listeners hear in their order, whatever one of them does."""

from __future__ import annotations

import pytest

from outrider.kinds.signals import Signal


def test_all_hear_in_the_order_in_which_they_came_although_one_raises(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []

    def raises() -> None:
        raise RuntimeError("a listener's defect")

    signal = Signal()
    signal.emit()
    signal.connect(lambda: heard.append(1))
    signal.connect(raises)
    signal.connect(lambda: heard.append(2))
    signal.emit()
    signal.emit()
    assert heard == [1, 2, 1, 2]
    assert caplog.text.count("RuntimeError: a listener's defect") == 2
