import numpy as np
import pytest

from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.mil_nce import MilNCE
from tests.hero_jax.losses.score_cases import TWO_EACH, called, own_blocks, random_case


def test_a_worked_example():
    e = np.exp
    total, _ = called(MilNCE(temperature=0.1), TWO_EACH, *own_blocks(4, 2))
    # Video 0: queries 5 2, rivals of the column 4 1, rivals of its queries' rows 3 6.
    first = (e(5) + e(2)) / (e(5) + e(2) + e(4) + e(1) + e(3) + e(6))
    second = (e(3.5) + e(9)) / (e(3.5) + e(9) + e(3) + e(6) + e(4) + e(1))
    assert total == pytest.approx(-np.log([first, second]).mean(), rel=1e-5)


def test_the_authors_count_positives_twice():
    e = np.exp
    objective = MilNCE(temperature=0.1, counts_positives_twice=True)
    total, _ = called(objective, TWO_EACH, *own_blocks(4, 2))
    first = (e(5) + e(2)) / (2 * e(5) + 2 * e(2) + e(4) + e(1) + e(3) + e(6))
    second = (e(3.5) + e(9)) / (2 * e(3.5) + 2 * e(9) + e(3) + e(6) + e(4) + e(1))
    assert total == pytest.approx(-np.log([first, second]).mean(), rel=1e-5)


def test_counted_twice_on_symmetric_scores_it_is_info_nce_and_log_two():
    scores, _, _ = random_case(num_queries=5)
    scores, own = (scores + scores.T) / 2, np.eye(5, dtype=bool)
    twice, _ = called(MilNCE(counts_positives_twice=True), scores, own, ~own)
    nce, _ = called(InfoNCE(), scores, own, ~own)
    np.testing.assert_allclose(twice, nce + np.log(2), rtol=1e-5)


def test_one_fitting_query_is_enough_for_a_bag():
    scores = np.array([[0.9, -1], [-1, -1], [-1, 0.9], [-1, -1]], np.float32)
    blocks = own_blocks(4, 2)
    assert called(MilNCE(), scores, *blocks)[0] < 1e-6
    assert called(InfoNCE(), scores, *blocks)[0] > 0.3
