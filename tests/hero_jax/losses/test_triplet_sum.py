import jax.numpy as jnp
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


def test_every_true_pair_of_a_row_has_hinges_of_its_own():
    scores = jnp.array([[0.5, 0.4, 0.45]])
    positives = jnp.array([[True, True, False]])
    total, terms = TripletSum(margin=0.2)(scores, positives, ~positives, step=0)
    assert terms["context"] == pytest.approx(((0.2 - 0.05) + (0.2 + 0.05)) / 2)
    assert terms["query"] == 0 and total == pytest.approx(0.1)


def test_sorted_sums_are_those_of_every_pair():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.3, (9, 6)).round(1)  # rounded: many ties
    positives = rng.random((9, 6)) < 0.3
    allowed = rng.random((9, 6)) < 0.8
    negative = allowed & ~positives

    def mean(s, p, n):
        hinge = np.maximum(0.4 + s[:, None, :] - s[:, :, None], 0)
        cost = np.sum(hinge * n[:, None, :], axis=2)
        rows = [cost[i, p[i]].mean() for i in range(len(s)) if p[i].any()]
        return np.mean(rows)

    expected = mean(scores, positives, negative) / 2
    expected += mean(scores.T, positives.T, negative.T) / 2
    arrays = map(jnp.asarray, (scores, positives, allowed))
    total, _ = TripletSum(margin=0.4)(*arrays, step=0)
    assert total == pytest.approx(expected, rel=1e-5)
