"""The page is legible in both of its dresses, and says what its parts are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import outrider.http

PAGE = Path(outrider.http.__file__).with_name("page.html").read_text("utf-8")


def colours(*, dark: bool) -> dict[str, str]:
    """The names of the style sheet; what the dark dress does not change stays."""
    light, other = re.findall(r":root \{(.*?)\}", PAGE, re.DOTALL)
    found = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", light))
    return found | dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", other)) if dark else found


def contrast(one: str, other: str) -> float:
    """As WCAG 2 measures it."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((light(one), light(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_words_and_shapes_stand_out_enough(dark: bool) -> None:
    named = colours(dark=dark)
    for text in ("ink", "quiet", "good", "bad", "wait"):
        for ground in ("card", "ground"):
            assert contrast(named[text], named[ground]) >= 4.5, (text, ground)
    for shape in ("moved", "saved"):
        assert contrast(named[shape], named["card"]) >= 3, shape
    assert contrast(named["moved"], named["saved"]) >= 3


def test_its_parts_say_what_they_are() -> None:
    assert '<html lang="en">' in PAGE
    assert 'name="viewport"' in PAGE
    assert 'role="status" aria-live="polite"' in PAGE
    for labelled in re.findall(r'aria-labelledby="([\w-]+)"', PAGE):
        assert f'id="{labelled}"' in PAGE
    assert 'role: "img", "aria-label": label' in PAGE


def test_every_colour_has_a_name() -> None:
    styles = re.sub(r":root \{.*?\}", "", PAGE[PAGE.index("<style>") : PAGE.index("</style>")], flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", styles)
