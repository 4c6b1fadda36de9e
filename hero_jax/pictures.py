"""Pictures without a drawing library: PNG files from pixels, line plots as SVG."""

import dataclasses
import html
import math
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

WIDTH, HEIGHT = 340, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 8, 26
MAX_POINTS = 240
"""More points than this are averaged in bins: a plot is about 300 pixels wide."""

Points = Sequence[tuple[float, float]]


def png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file showing `pixels`, uint8 of shape (height, width, 3)."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(
            f"pixels: found {pixels.dtype} {pixels.shape}, "
            "expected uint8 (height, width, 3)"
        )
    height, width, _ = pixels.shape
    # Each row is preceded by its filter type; 0 is "none".
    rows = np.pad(pixels.reshape(height, width * 3), ((0, 0), (1, 0)))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, data)
        for kind, data in (
            (b"IHDR", header),
            (b"IDAT", zlib.compress(rows.tobytes(), 9)),
            (b"IEND", b""),
        )
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    """Length, kind, data and checksum, as the PNG specification orders them."""
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def line_plot(title: str, series: Mapping[str, Points], styles: Sequence[str]) -> str:
    """An inline SVG with a line per series; `styles` are the CSS classes of the lines.

    Needs at least one point with a finite value.
    """
    binned = {name: average(points) for name, points in series.items()}
    x_axis = Axis(*extent([x for points in binned.values() for x, _ in points]))
    y_axis = widened(*extent([y for points in binned.values() for _, y in points]))
    lines = [
        f'<polyline class="line {style}" points="{path(points, x_axis, y_axis)}">'
        f"<title>{html.escape(name)}</title></polyline>"
        for (name, points), style in zip(binned.items(), styles, strict=True)
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}">'
        + "".join([*map(horizontal, y_ticks(y_axis)), *map(below, x_ticks(x_axis))])
        + "".join(lines)
        + "</svg>"
    )


@dataclasses.dataclass(frozen=True)
class Axis:
    """Maps the numbers from `low` to `high` to 0-1, and marks round numbers on it."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        slack = 1e-6 * (self.high - self.low)
        return [
            tick
            for tick in round_numbers(self.low, self.high)
            if self.low - slack <= tick <= self.high + slack
        ]


def widened(low: float, high: float) -> Axis:
    """An axis that ends on round numbers."""
    ticks = round_numbers(low, high)
    return Axis(ticks[0], ticks[-1])


def extent(values: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest value, kept apart so that a constant can be drawn."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def round_numbers(low: float, high: float, *, about: int = 4) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, inside or just around the range."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def average(points: Points) -> list[tuple[float, float]]:
    """At most MAX_POINTS points, each the mean of its neighbours."""
    finite = [point for point in points if all(map(math.isfinite, point))]
    size = math.ceil(len(finite) / MAX_POINTS) or 1
    bins = [finite[i : i + size] for i in range(0, len(finite), size)]
    return [
        (sum(x for x, _ in b) / len(b), sum(y for _, y in b) / len(b)) for b in bins
    ]


def across(fraction: float) -> float:
    return LEFT + fraction * (WIDTH - LEFT - RIGHT)


def down(fraction: float) -> float:
    return HEIGHT - BOTTOM - fraction * (HEIGHT - TOP - BOTTOM)


def path(points: Points, x_axis: Axis, y_axis: Axis) -> str:
    """The corners of a line; a single point is drawn as a short one."""
    corners = [(across(x_axis(x)), down(y_axis(y))) for x, y in points]
    if len(corners) == 1:
        (x, y), *_ = corners
        corners = [(x - 2, y), (x + 2, y)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def x_ticks(axis: Axis) -> list[tuple[float, str]]:
    return [(across(axis(tick)), f"{tick:g}") for tick in axis.ticks]


def y_ticks(axis: Axis) -> list[tuple[float, str]]:
    return [(down(axis(tick)), f"{tick:.3g}") for tick in axis.ticks]


def horizontal(tick: tuple[float, str]) -> str:
    """A grid line and its number."""
    y, label = tick
    return (
        f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="y" x="{LEFT - 6}" y="{y + 4:.1f}">{label}</text>'
    )


def below(tick: tuple[float, str]) -> str:
    x, label = tick
    return f'<text class="x" x="{x:.1f}" y="{HEIGHT - 8}">{label}</text>'
