"""Bar charts as SVG text, so that the dashboard needs no plotting package and no network."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

INK, SOFT, BAR, PEAK = "#1f2933", "#7b8794", "#3e7cb1", "#e07a3f"
FONT = "font-family='Helvetica, Arial, sans-serif'"


def ranking(title: str, values: Mapping[str, float], unit: str) -> str:
    """Horizontal bars, one per name, in the order given."""
    width, row, left, top = 720, 30, 190, 56
    most = max(values.values(), default=1) or 1
    height = top + row * len(values) + 16
    parts = [_open(width, height, title)]
    for index, (name, value) in enumerate(values.items()):
        y = top + index * row
        length = (width - left - 90) * value / most
        color = PEAK if value == most else BAR
        parts.append(
            f"<text x='{left - 10}' y='{y + 16}' text-anchor='end' {FONT} font-size='13' fill='{INK}'>{escape(name)}</text>"
        )
        parts.append(f"<rect x='{left}' y='{y + 2}' width='{length:.1f}' height='20' rx='3' fill='{color}'/>")
        parts.append(
            f"<text x='{left + length + 8:.1f}' y='{y + 16}' {FONT} font-size='12' fill='{SOFT}'>{value:g} {escape(unit)}</text>"
        )
    return "".join([*parts, "</svg>"])


def columns(title: str, values: Mapping[int, float], unit: str) -> str:
    """Vertical bars over a numeric axis, such as the hours of a day."""
    width, height, left, top, floor = 720, 280, 40, 56, 34
    most = max(values.values(), default=1) or 1
    room = height - top - floor
    step = (width - left - 20) / max(len(values), 1)
    parts = [_open(width, height, f"{title} ({unit})")]
    for part in (0.5, 1.0):
        y = top + room * (1 - part)
        parts.append(f"<line x1='{left}' x2='{width - 20}' y1='{y:.1f}' y2='{y:.1f}' stroke='#e4e7eb'/>")
        parts.append(
            f"<text x='{left - 6}' y='{y + 4:.1f}' text-anchor='end' {FONT} font-size='11' fill='{SOFT}'>{most * part:.0f}</text>"
        )
    for index, (position, value) in enumerate(values.items()):
        tall = room * value / most
        x = left + index * step
        color = PEAK if value == most else BAR
        parts.append(
            f"<rect x='{x + 2:.1f}' y='{top + room - tall:.1f}' width='{step - 4:.1f}' height='{tall:.1f}' rx='2' fill='{color}'/>"
        )
        if index % 3 == 0:
            parts.append(
                f"<text x='{x + step / 2:.1f}' y='{height - 14}' text-anchor='middle' {FONT} font-size='11' fill='{SOFT}'>{position:02d}</text>"
            )
    return "".join([*parts, "</svg>"])


def _open(width: int, height: int, title: str) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' role='img'>"
        f"<rect width='{width}' height='{height}' fill='#ffffff'/>"
        f"<text x='20' y='30' {FONT} font-size='17' font-weight='bold' fill='{INK}'>{escape(title)}</text>"
    )
