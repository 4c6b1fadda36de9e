"""Label smoothing: worked numbers, then what must not matter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.cross_entropy import cross_entropy
from hero_jax.losses.label_smoothing import LabelSmoothing

LOGITS = np.array([[2.0, 0, 0, 1, -1], [1, 2, 3, 4, 5]], np.float32)
LABELS, ALL = np.array([0, 4]), np.ones(2, bool)


def test_worked_numbers_of_the_specification():
    each = LabelSmoothing(0.1).each(LOGITS, LABELS, ALL)
    np.testing.assert_allclose(each, [0.260032, 0.238202], atol=1e-6)
    mean = LabelSmoothing(0.1)(LOGITS, LABELS, ALL)
    np.testing.assert_allclose(mean, (0.260032 + 0.238202) / 2, atol=1e-6)


def test_without_smoothing_it_is_cross_entropy():
    ours = LabelSmoothing(0.0)(LOGITS, LABELS, ALL)
    np.testing.assert_allclose(ours, cross_entropy(LOGITS, LABELS, ALL), rtol=1e-6)


def test_it_is_least_and_zero_where_the_prediction_is_the_smoothed_label():
    wanted = np.log([[0.9, 0.025, 0.025, 0.025, 0.025]]).astype(np.float32)
    objective = lambda x: LabelSmoothing(0.1)(x, np.array([0]), np.array([True]))
    value, gradient = jax.value_and_grad(objective)(jnp.asarray(wanted))
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_masked_words_may_be_anything():
    mask = np.array([True, False])
    objective = lambda x: LabelSmoothing()(x, np.array([0, -1]), mask)
    spoilt = jnp.asarray(LOGITS).at[1].set(jnp.nan)
    value, gradient = jax.value_and_grad(objective)(spoilt)
    np.testing.assert_allclose(value, 0.260032, atol=1e-6)
    assert np.isfinite(gradient).all() and not gradient[1].any()
    assert LabelSmoothing()(LOGITS, LABELS, ~ALL) == 0


def test_half_precision_is_widened():
    half = LabelSmoothing().each(jnp.asarray(LOGITS, jnp.bfloat16), LABELS, ALL)
    assert half.dtype == jnp.float32


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_no_label_can_give_away_everything(smoothing):
    with pytest.raises(ValueError, match="smoothing"):
        LabelSmoothing(smoothing)
