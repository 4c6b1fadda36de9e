import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.regression import FrameDistance, cosines, distances

NONE = (np.zeros((1, 1, 2), np.float32), np.zeros((1, 1), bool))


def loss(predicted, targets, mask):
    return FrameDistance()(predicted, targets, mask, *NONE)[0]


def test_the_loss_is_the_mean_length_of_the_error():
    predicted = np.array([[[3.0, 4.0], [1.0, 1.0], [9.0, 9.0]]], np.float32)
    targets = np.array([[[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]]], np.float32)
    mask = np.array([[True, True, False]])
    total, terms = FrameDistance()(predicted, targets, mask, *NONE)
    assert total == pytest.approx((5 + 1) / 2)
    assert terms["distance"] == total
    assert terms["cosine"] == pytest.approx((0 + 3 / np.sqrt(10)) / 2)


def test_cosines_know_direction_and_not_length():
    ours = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0]], np.float32)
    true = np.array([[0.5, 0.0], [-3.0, -3.0], [1.0, 0.0]], np.float32)
    every = np.ones(3, bool)
    np.testing.assert_allclose(cosines(ours, true, every), [1, -1, 0], rtol=1e-6)
    assert np.isfinite(jax.grad(lambda x: cosines(x, true, every).sum())(ours)).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_perfect_prediction_and_an_empty_batch_have_finite_gradients(dtype):
    values = jnp.asarray([[[1.0, 2.0], [0.0, 0.0]]], dtype)
    for mask in (np.ones((1, 2), bool), np.zeros((1, 2), bool)):
        value, gradient = jax.value_and_grad(loss)(values, values, mask)
        assert value == 0
        assert not np.any(gradient)


def test_masked_frames_count_nowhere_whatever_they_hold():
    predicted = np.array([[1.0, 0.0], [np.nan, np.inf]], np.float32)
    targets, mask = np.zeros((2, 2), np.float32), np.array([True, False])
    assert distances(predicted, targets, mask).tolist() == [1, 0]
    gradient = jax.grad(lambda x: distances(x, targets, mask).sum())(predicted)
    assert gradient.tolist() == [[1, 0], [0, 0]]
