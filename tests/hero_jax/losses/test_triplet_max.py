import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.triplet_max import TripletMax
from hero_jax.losses.triplet_sum import TripletSum
from tests.hero_jax.losses.score_cases import (
    ONE_EACH,
    by_hand,
    called,
    own_blocks,
    random_case,
)


def test_a_worked_example():
    total, terms = called(TripletMax(margin=0.1), ONE_EACH, *own_blocks(3, 3))
    # Rows: [0, .05] [0, 0] [.4, .35]; columns: [0, .3] [0, .15] [.15, 0].
    assert terms["context"] == pytest.approx(0.45 / 3)
    assert terms["query"] == pytest.approx(0.6 / 3)
    assert total == pytest.approx(1.05 / 6)


def test_the_formula_in_plain_loops():
    case = random_case(1)
    cost = lambda true, rivals: max(0, 0.2 + rivals.max() - true)
    _, terms = called(TripletMax(), *case)
    expected = by_hand(cost, *case)
    np.testing.assert_allclose([terms["context"], terms["query"]], expected, rtol=1e-6)


def test_it_is_the_limit_of_a_softmax_with_a_margin():
    scores, own, allowed = random_case(2)
    pushed = jnp.where(own, scores - 0.2, scores)
    cold = 1e-3
    soft, _ = called(InfoNCE(temperature=cold), pushed, own, allowed)
    hard, _ = called(TripletMax(margin=0.2), scores, own, allowed)
    np.testing.assert_allclose(cold * soft, hard, atol=2 * cold)


def test_with_one_negative_it_is_the_sum_of_hinges():
    scores, own = np.array([[0.3, 0.5], [0.1, 0.2]], np.float32), np.eye(2) > 0
    one, _ = called(TripletMax(), scores, own, ~own)
    same, _ = called(TripletSum(), scores, own, ~own)
    np.testing.assert_allclose(one, same, rtol=1e-6)


def test_only_the_hardest_negative_is_pushed_away():
    scores, own = np.array([[0.5, 0.3, 0.45]], np.float32), np.array([[1, 0, 0]]) > 0
    context = lambda s: called(TripletMax(), s, own, ~own)[1]["context"]
    np.testing.assert_allclose(jax.grad(context)(scores), [[-1, 0, 1]])
