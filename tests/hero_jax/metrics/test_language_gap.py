import numpy as np
import pytest

from hero_jax.metrics.language_gap import language_gap, mono_and_cross


def test_a_gap_by_hand():
    gap = language_gap(mono=0.4, cross=0.1)
    assert gap["absolute"] == pytest.approx(0.3)
    assert gap["relative"] == pytest.approx(0.75)
    assert gap["log_ratio"] == pytest.approx(np.log(0.25))


def test_nothing_found_has_no_ratio():
    gap = language_gap(mono=0.0, cross=0.0)
    assert gap["absolute"] == 0
    assert np.isnan(gap["relative"]) and np.isnan(gap["log_ratio"])


def test_the_diagonal_is_mono_and_no_subtitles_are_neither():
    matrix = {
        "en": {"en": 0.5, "zh": 0.2, "none": 0.9},
        "zh": {"en": 0.1, "zh": 0.3, "none": 0.9},
    }
    np.testing.assert_allclose(mono_and_cross(matrix), (0.4, 0.15))


def test_a_single_language_has_nothing_across():
    mono, cross = mono_and_cross({"en": {"en": 0.5, "none": 0.9}})
    assert mono == 0.5 and np.isnan(cross)
