import jax
import numpy as np
import pytest

from hero_jax.losses.neighbourhood import Neighbourhood
from hero_jax.losses.triplet_max import TripletMax
from tests.hero_jax.losses.score_cases import ONE_EACH, called, own_blocks

CASE = (ONE_EACH, *own_blocks(3, 3))


def test_from_a_pool_of_one_it_is_the_weighted_sum_of_both_ways():
    objective = Neighbourhood(weight=0.5, pool_sizes=(1,), start_steps=(0,))
    total, terms = called(objective, *CASE, key=jax.random.key(0))
    _, hardest = called(TripletMax(margin=0.1), *CASE)
    np.testing.assert_allclose(terms["context"], hardest["context"], rtol=1e-6)
    np.testing.assert_allclose(terms["query"], hardest["query"], rtol=1e-6)
    expected = 0.5 * (hardest["context"] + hardest["query"])
    np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_translations_that_lead_by_the_margin_cost_nothing():
    scores = np.where(np.eye(4) > 0, 0.9, 0.7).astype(np.float32)
    own = np.eye(4, dtype=bool)
    total, _ = called(Neighbourhood(), scores, own, ~own, key=jax.random.key(0))
    assert total == 0
    wide = Neighbourhood(margin=0.4)
    total, _ = called(wide, scores, own, ~own, key=jax.random.key(0))
    assert total == pytest.approx(0.4, rel=1e-5)
