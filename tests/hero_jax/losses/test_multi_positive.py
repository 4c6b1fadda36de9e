import jax
import numpy as np
import pytest

from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.multi_positive import MultiPositive
from tests.hero_jax.losses.score_cases import TWO_EACH, called, own_blocks, random_case


def test_a_worked_example():
    _, terms = called(MultiPositive(temperature=0.1), TWO_EACH, *own_blocks(4, 2))
    # Columns: 5 2 | 4 1 and 3.5 9 | 3 6, each true score among all four.
    first = np.log(np.exp([5, 2, 4, 1]).sum()) - np.mean([5, 2])
    second = np.log(np.exp([3, 6, 3.5, 9]).sum()) - np.mean([3.5, 9])
    assert terms["query"] == pytest.approx((first + second) / 2, rel=1e-6)
    # Rows have one true video each: softplus of the rival's lead.
    leads = np.array([3 - 5, 6 - 2, 4 - 3.5, 1 - 9])
    assert terms["context"] == pytest.approx(np.log1p(np.exp(leads)).mean(), rel=1e-6)


def test_with_one_positive_it_is_info_nce():
    scores, _, _ = random_case(num_queries=5)
    own = np.eye(5, dtype=bool)
    several, _ = called(MultiPositive(), scores, own, ~own)
    single, _ = called(InfoNCE(), scores, own, ~own)
    np.testing.assert_allclose(several, single, rtol=1e-6)


def test_equal_positives_cost_at_least_the_log_of_their_number():
    scores = np.where(own_blocks(6, 2)[0], 1, -1).astype(np.float32)
    _, terms = called(MultiPositive(temperature=0.01), scores, *own_blocks(6, 2))
    assert terms["query"] == pytest.approx(np.log(3), rel=1e-5)
    assert terms["context"] == pytest.approx(0)


def test_equal_positives_are_in_balance():
    scores, blocks = np.zeros((6, 2), np.float32), own_blocks(6, 2)
    query = lambda s: called(MultiPositive(), s, *blocks)[1]["query"]
    gradient = jax.grad(query)(scores)
    np.testing.assert_allclose(gradient[:3, 0], gradient[0, 0])
    assert gradient[0, 0] < 0 < gradient[0, 1]
