import numpy as np
import pytest

from hero_jax.losses.ranking import VSM
from hero_jax.losses.triplet_sum import TripletSum
from tests.hero_jax.losses.score_cases import (
    ONE_EACH,
    by_hand,
    called,
    own_blocks,
    random_case,
)


def test_a_worked_example():
    total, terms = called(TripletSum(margin=0.1), ONE_EACH, *own_blocks(3, 3))
    # Rows: [0, .05] [0, 0] [.4, .35]; columns: [0, .3] [0, .15] [.15, 0].
    assert terms["context"] == pytest.approx(0.8 / 3)
    assert terms["query"] == pytest.approx(0.6 / 3)
    assert total == pytest.approx(1.4 / 6)


def test_the_formula_in_plain_loops():
    case = random_case()
    cost = lambda true, rivals: np.maximum(0.2 + rivals - true, 0).sum()
    _, terms = called(TripletSum(), *case)
    expected = by_hand(cost, *case)
    np.testing.assert_allclose([terms["context"], terms["query"]], expected, rtol=1e-6)


def test_divided_by_the_negatives_it_is_vsm_without_a_hard_pool():
    scores, own, allowed = ONE_EACH, *own_blocks(3, 3)
    total, _ = called(TripletSum(margin=0.1), scores, own, allowed)
    plain = VSM(hard_start_step=None, context_weight=0.5, query_weight=0.5)
    np.testing.assert_allclose(
        total / 2, called(plain, scores, own, allowed)[0], rtol=1e-6
    )
