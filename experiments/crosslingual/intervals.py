"""Estimates with their intervals as a picture: a row each, with a line at zero.

VSM less info_nce, across          ---o---
VSM less info_nce, within    --o--
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from hero_jax.pictures import Axis, widened
from hero_jax.report_html import escape

WIDTH, ROW, LABELS, MARGIN, AXIS = 720, 22, 330, 14, 26


class Estimate(NamedTuple):
    """A contrast as it is drawn."""

    name: str
    low: float
    estimate: float
    high: float


def picture(title: str, estimates: Sequence[Estimate]) -> str:
    """An inline SVG, or nothing where no estimate is finite."""
    drawn = [one for one in estimates if all(map(math.isfinite, one[1:]))]
    if not drawn:
        return ""
    numbers = [0.0, *(value for one in drawn for value in one[1:])]
    axis = widened(min(numbers), max(max(numbers), min(numbers) + 1e-6))
    height = ROW * len(drawn) + AXIS
    rows = "".join(row(axis, number, one) for number, one in enumerate(drawn))
    return (
        f'<figure class="wide"><svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{grid(axis, ROW * len(drawn))}{rows}</svg>'
        f"</figure>"
    )


def x_of(axis: Axis, value: float) -> float:
    """Where a value stands, in units of the picture."""
    return LABELS + MARGIN + (WIDTH - LABELS - 2 * MARGIN) * axis(value)


def grid(axis: Axis, bottom: int) -> str:
    """A line and a number at every round value; that at zero is darker."""
    parts = []
    for tick in axis.ticks:
        x, kind = x_of(axis, tick), "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(f'<path class="{kind}" d="M{x:.1f} 0V{bottom}"/>')
        label = f"{tick:+.3g}" if kind == "grid" else "0"
        parts.append(f'<text class="x" x="{x:.1f}" y="{bottom + 16}">{label}</text>')
    return "".join(parts)


def row(axis: Axis, number: int, one: Estimate) -> str:
    """A name, the interval as a line and the estimate as a point."""
    y = ROW * number + ROW / 2
    low, middle, high = (x_of(axis, value) for value in one[1:])
    said = f"{one.name}: {one.estimate:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
    return (
        f'<text x="0" y="{y + 4:.1f}">{escape(one.name)}</text>'
        f'<g class="estimate"><title>{escape(said)}</title>'
        f'<path d="M{low:.1f} {y:.1f}H{high:.1f}"/>'
        f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="4"/></g>'
    )
