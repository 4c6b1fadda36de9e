"""PNG files and line plots."""

import math
import zlib

import av
import numpy as np
import pytest

from hero_jax import pictures

PIXELS = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def test_a_png_holds_the_pixels():
    image = pictures.png(PIXELS)
    start = image.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompressobj().decompress(image[start:]), np.uint8)
    np.testing.assert_array_equal(rows.reshape(5, 1 + 21)[:, 1:], PIXELS.reshape(5, 21))
    assert image[16:24] == (7).to_bytes(4, "big") + (5).to_bytes(4, "big")


def test_a_video_decoder_reads_the_png(tmp_path):
    (tmp_path / "a.png").write_bytes(pictures.png(PIXELS))
    with av.open(tmp_path / "a.png") as file:
        frame = next(file.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_array_equal(frame, PIXELS)


def test_other_arrays_are_no_pixels():
    with pytest.raises(ValueError, match="expected uint8"):
        pictures.png(PIXELS.astype(np.float32))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1000, [0, 500, 1000]),
        (0.1, 0.9, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3, 5, None),
    ],
)
def test_ticks_are_round_and_cover_the_range(low, high, ticks):
    found = pictures.round_numbers(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert len(found) <= 6
    if ticks:
        np.testing.assert_allclose(found, ticks)


def test_a_constant_curve_can_be_drawn():
    assert "<polyline" in pictures.line_plot("loss", {"a": [(5, 1.0)]}, ["s0"])


def test_long_curves_are_averaged_and_stay_in_order():
    points = [(step, float(step % 2)) for step in range(1001)]
    drawn = pictures.average(points)
    assert len(drawn) <= pictures.MAX_POINTS
    assert drawn[0] == (2.0, 0.4)
    assert drawn == sorted(drawn)


def test_points_that_are_not_finite_are_left_out():
    assert pictures.average([(0, 1.0), (1, math.nan), (2, 3.0)]) == [(0, 1.0), (2, 3.0)]
