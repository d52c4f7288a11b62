"""The comparison as an SVG bar chart: a bar for each operation and technique, cut into worlds.

Lengths are logarithmic, as costs span four decades; each bar's parts have the worlds' shares of it.
"""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from ringzero.compare.results import TITLES
from ringzero.compare.techniques import WORLDS

if TYPE_CHECKING:
    from ringzero.compare.measure import Cost
    from ringzero.compare.results import Results

BAR, GAP, LEFT, TOP, DECADE, WIDTH = 14, 12, 250, 60, 110, 860
COLOURS = {"user": "#5a9a5a", "kernel": "#4878a8", "below": "#c8702a"}
NAMES = {"user": "guest's programs", "kernel": "guest's kernel", "below": "hypervisor or firmware"}


def svg(results: Results) -> str:
    """The chart's file."""
    techniques, names = list(results.operations), results.names()
    step = BAR * len(techniques) + GAP
    height = TOP + step * len(names) + 30
    parts = _legend() + _grid(height)
    for index, name in enumerate(names):
        top = TOP + index * step
        title = escape(TITLES.get(name, name))
        middle = top + (step - GAP) / 2 + 4
        parts.append(f'<text x="8" y="{middle:.0f}">{title}</text>')
        for row, technique in enumerate(techniques):
            parts += _bar(results.operations[technique][name], technique, top + row * BAR)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="11" fill="#222">'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bar(cost: Cost, technique: str, top: int) -> list[str]:
    total = max(cost.total, 1.0)
    length = DECADE * log10(total) + 2
    parts = [f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{escape(technique)}</text>']
    at = float(LEFT)
    for world in WORLDS:
        share = length * max(cost.worlds[world], 0.0) / total
        if share > 0.05:
            parts.append(
                f'<rect x="{at:.1f}" y="{top}" width="{share:.1f}" height="{BAR - 2}" '
                f'fill="{COLOURS[world]}"/>'
            )
            at += share
    parts.append(f'<text x="{LEFT + length + 5:.1f}" y="{top + 10}">{cost.total:,.0f}</text>')
    return parts


def _legend() -> list[str]:
    parts = ['<text x="8" y="20" font-size="13">Instructions for each operation</text>']
    for index, world in enumerate(WORLDS):
        x = LEFT + 150 * index
        parts.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{COLOURS[world]}"/>')
        parts.append(f'<text x="{x + 17}" y="20">{escape(NAMES[world])}</text>')
    return parts


def _grid(height: int) -> list[str]:
    parts = []
    for power in range(5):
        x = LEFT + DECADE * power
        parts.append(
            f'<line x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{height - 20}" stroke="#ddd"/>'
            f'<text x="{x}" y="{TOP - 14}" text-anchor="middle">{10**power:,}</text>'
        )
    return parts
