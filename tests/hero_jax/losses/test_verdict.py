import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.verdict import verdict_loss


def test_statements_worked_by_hand():
    logits = np.array([np.log(3), np.log(3), 7.0], np.float32)
    loss = verdict_loss(logits, np.array([1, 0, -1]))
    assert loss == pytest.approx((np.log(4 / 3) + np.log(4)) / 2)


def test_it_is_the_cross_entropy_of_the_sigmoid():
    logits = np.linspace(-6, 6, 7).astype(np.float32)
    for truth in (0, 1):
        p = 1 / (1 + np.exp(-logits.astype(np.float64)))
        expected = -np.log(p if truth else 1 - p).mean()
        found = verdict_loss(logits, np.full(7, truth))
        assert found == pytest.approx(expected, rel=1e-6)


def test_a_sure_mistake_still_teaches():
    """In float32 its sigmoid is 1, and the official gradient 0."""
    slope = jax.grad(lambda x: verdict_loss(x[None], np.array([0])))(jnp.float32(40))
    assert slope == pytest.approx(1)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_nothing_known_is_no_loss_and_no_gradient(dtype):
    given = jnp.asarray([3.0, -500.0], dtype)
    value, slope = jax.value_and_grad(verdict_loss)(given, np.full(2, -1))
    assert value == 0
    assert np.all(np.asarray(slope, np.float32) == 0)
