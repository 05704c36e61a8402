"""The table of trees as a picture: for each kind of work our bytes and time beside rsync's, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from math import log10
from typing import Final

from benches.rows import Row

_LEFT, _WIDTH, _LINE, _TOP = 330, 430, 15, 40
_OURS, _THEIRS = "#2f7d5b", "#b9b4a7"
_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#333}.t{font-size:14px;font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)


def svg(rows: Iterable[Row], title: str) -> str:
    """A pair of bars for each row: ours above the peer's; each bar carries its figure."""
    shown = list(rows)
    top = max(max(row.ours_s, row.peer_s) * _scale(row) for row in shown)
    least = min(min(row.ours_s, row.peer_s) * _scale(row) for row in shown)
    span = log10(top / least) + 0.2
    parts = [f'<text class="t" x="8" y="20">{escape(title)}</text>']
    for number, row in enumerate(shown):
        y = _TOP + number * 3 * _LINE
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 1.2 * _LINE:.0f}" text-anchor="end">{escape(row.name)}</text>')
        for place, (value, colour, who) in enumerate(((row.ours_s, _OURS, ""), (row.peer_s, _THEIRS, row.peer))):
            width = _WIDTH * (log10(value * _scale(row) / least) + 0.2) / span
            at = y + place * _LINE
            parts.append(
                f'<rect x="{_LEFT}" y="{at}" width="{width:.0f}" height="{_LINE - 3}" rx="2" fill="{colour}"/>'
            )
            label = f"{_figure(value, row.unit)} {who}".strip()
            parts.append(f'<text x="{_LEFT + width + 6:.0f}" y="{at + 10}">{escape(label)}</text>')
    size = f'width="{_LEFT + _WIDTH + 170}" height="{_TOP + len(shown) * 3 * _LINE}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{_STYLE}</style>{"".join(parts)}</svg>\n'


def _scale(row: Row) -> float:
    """Milliseconds and kilobytes share an axis; a logarithm does not mind."""
    return {"s": 1e3, "KB": 1.0, "B": 1e-3}.get(row.unit, 1.0)


def _figure(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1e3:,.0f} ms" if value < 1 else f"{value:,.2f} s"
    return f"{value:,.1f} {unit}" if value < 100 else f"{value:,.0f} {unit}"
