import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.losses.cross_entropy import cross_entropy


def test_uniform_logits_cost_the_log_of_the_vocabulary():
    loss = cross_entropy(
        np.zeros((2, 7), np.float32), np.array([3, 5]), np.ones(2, bool)
    )
    np.testing.assert_allclose(loss, np.log(7), rtol=1e-6)


def test_masked_positions_count_nowhere_whatever_they_hold():
    logits = np.array([[1.0, 2.0, 0.0], [np.nan, np.inf, 0.0]], np.float32)
    labels, mask = np.array([1, -1]), np.array([True, False])
    loss, gradient = jax.value_and_grad(cross_entropy)(logits, labels, mask)
    expected = np.log(np.exp([1.0, 2.0, 0.0]).sum()) - 2
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert np.any(gradient[0] != 0)
    assert np.all(gradient[1] == 0)


def test_nothing_to_predict_costs_nothing():
    logits = jnp.zeros((3, 4), jnp.bfloat16)
    args = (np.zeros(3, int), np.zeros(3, bool))
    loss, gradient = jax.value_and_grad(cross_entropy)(logits, *args)
    assert loss == 0
    assert not np.any(gradient)
