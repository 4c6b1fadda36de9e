"""Estimates with their intervals as a picture: a row each, with a line at zero.

VSM less info_nce, across          ---o---
VSM less info_nce, within    --o--
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from hero_jax.pictures import Axis, widened
from hero_jax.report_html import escape

PLOT, ROW, MARGIN, AXIS = 390, 22, 14, 26
LETTER = 6.2
"""Width of a letter, so that the longest name fits beside the plot."""
FAR = 4.0
"""Times the usual distance from zero at which an interval is told and not drawn."""


class Estimate(NamedTuple):
    """A contrast as it is drawn."""

    name: str
    low: float
    estimate: float
    high: float


def picture(title: str, estimates: Sequence[Estimate]) -> str:
    """An inline SVG, or nothing where no estimate is finite.

    One arm that failed would squeeze all others to a point: what lies far out is told.
    """
    known = [one for one in estimates if all(map(math.isfinite, one[1:]))]
    if not known:
        return ""
    limit = FAR * statistics.median(reach(one) for one in known)
    near = [one for one in known if reach(one) <= limit]
    numbers = [0.0, *(value for one in near for value in one[1:])]
    axis = widened(min(numbers), max(max(numbers), min(numbers) + 1e-6))
    plot = Plot(axis, left=LETTER * max(len(one.name) for one in known))
    rows = "".join(plot.row(n, one, one in near) for n, one in enumerate(known))
    bottom = ROW * len(known)
    return (
        f'<figure class="wide"><svg viewBox="0 0 {plot.left + PLOT:.0f} '
        f'{bottom + AXIS}" role="img" aria-label="{escape(title)}">{plot.grid(bottom)}'
        f"{rows}</svg></figure>"
    )


def reach(one: Estimate) -> float:
    """How far from zero an interval goes."""
    return max(abs(one.low), abs(one.high))


class Plot(NamedTuple):
    """Where things stand."""

    axis: Axis
    left: float
    """Where names end, in units of the picture."""

    def x(self, value: float) -> float:
        """Where a value stands, in units of the picture."""
        return self.left + MARGIN + (PLOT - 2 * MARGIN) * self.axis(value)

    def grid(self, bottom: int) -> str:
        """A line and a number at every round value; that at zero is darker."""
        parts = []
        for tick in self.axis.ticks:
            x, kind = self.x(tick), "zero" if abs(tick) < 1e-12 else "grid"
            parts.append(f'<path class="{kind}" d="M{x:.1f} 0V{bottom}"/>')
            label = f"{tick:+.3g}" if kind == "grid" else "0"
            at = f'x="{x:.1f}" y="{bottom + 16}"'
            parts.append(f'<text class="x" {at}>{label}</text>')
        return "".join(parts)

    def row(self, number: int, one: Estimate, is_near: bool) -> str:
        """A name, the interval as a line and the estimate as a point, or in words."""
        y = ROW * number + ROW / 2
        numbers = f"{one.estimate:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
        name = f'<text x="0" y="{y + 4:.1f}">{escape(one.name)}</text>'
        if not is_near:
            at = f'x="{self.x(0.0) + MARGIN:.1f}" y="{y + 4:.1f}"'
            return f"{name}<text {at}>{numbers}, beyond the axis</text>"
        low, middle, high = (self.x(value) for value in one[1:])
        return (
            f'{name}<g class="estimate"><title>{escape(one.name)}: {numbers}</title>'
            f'<path d="M{low:.1f} {y:.1f}H{high:.1f}"/>'
            f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="4"/></g>'
        )
