import jax
import numpy as np
import pytest

from hero_jax.losses.semi_hard import SemiHard
from hero_jax.losses.triplet_max import TripletMax
from hero_jax.losses.triplet_sum import TripletSum
from tests.hero_jax.losses.score_cases import ONE_EACH, called, own_blocks

CASE = (ONE_EACH, *own_blocks(3, 3))


def mean_loss(objective, step, num_draws=2000):
    keys = jax.random.split(jax.random.key(0), num_draws)
    loss = lambda key: called(objective, *CASE, step=step, key=key)[0]
    return np.mean(jax.jit(jax.vmap(loss))(keys))


def test_before_the_first_pool_it_averages_to_the_mean_hinge():
    objective = SemiHard(pool_sizes=(1,), start_steps=(10,))
    expected = called(TripletSum(margin=0.1), *CASE)[0] / 2  # two negatives each
    assert mean_loss(objective, step=9) == pytest.approx(float(expected), rel=0.03)


def test_from_a_pool_of_one_it_takes_the_hardest():
    objective = SemiHard(pool_sizes=(2, 1), start_steps=(5, 10))
    one = called(objective, *CASE, step=10, key=jax.random.key(3))[0]
    hardest, _ = called(TripletMax(margin=0.1), *CASE)
    np.testing.assert_allclose(one, hardest, rtol=1e-6)


def test_pools_without_their_steps_are_refused():
    with pytest.raises(ValueError, match="give both the same number"):
        SemiHard(pool_sizes=(20, 10))


def test_a_draw_needs_a_key():
    with pytest.raises(ValueError, match="key is None"):
        called(SemiHard(), *CASE)
