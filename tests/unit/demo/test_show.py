"""What the demo prints: no column is lost, however narrow the terminal."""

from __future__ import annotations

import pytest

from outrider.demo.show import Show, Step

STEP = Step("half of them changed, worker1 killed while it applies", [12.5, 13.5], 987_654_321, 100_000, "finished")


@pytest.mark.parametrize("columns", ["40", "79", "80", "200"])
def test_every_column_is_printed_on_a_terminal_and_in_a_log(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal in ("0", "1"):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setenv("TTY_COMPATIBLE", terminal)
        show = Show(as_json=False)
        with show:
            show.begin(STEP)
            show.end(STEP)
        assert show.finish() == 0
        text = capsys.readouterr().out
        for cell in ("100,000", "12.50 s", "13.50 s", "987.65 MB", "equal"):
            assert cell in text, (terminal, text)


def test_on_a_terminal_nothing_is_drawn_for_a_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    for as_json, drawn in ((False, True), (True, False)):
        with Show(as_json=as_json) as show:
            show.begin(STEP)
        told = capsys.readouterr()
        assert ("\x1b[" in told.out + told.err) == drawn
