import numpy as np
import pytest
from scipy import stats

from hero_jax.metrics.consistency import best, consistency, overlap, rank_correlations

FIRST = np.array([[0.9, 0.5, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4]])
SECOND = np.array([[0.8, 0.1, 0.2, 0.0], [0.4, 0.3, 0.2, 0.1]])


def test_agreement_by_hand():
    found = consistency(FIRST, SECOND, k=2)
    assert found["same_top1"] == 0.5  # video 0 twice; videos 3 and 0
    assert found["overlap@2"] == (1 / 2 + 0) / 2  # {0 1} {0 2}; {3 2} {0 1}
    assert found["rank_correlation"] == pytest.approx((0.8 - 1) / 2)
    assert (found["same_top1_chance"], found["overlap@2_chance"]) == (0.25, 0.5)


def test_lists_of_other_queries_stand_beside():
    """Two videos stand high whatever is asked: all lists agree, the shuffled, too."""
    liked = np.where(np.arange(40) < 2, 5.0, 0.0)
    first, second = np.random.default_rng(3).standard_normal((2, 500, 40)) + liked
    found = consistency(first, second, k=2)
    assert found["overlap@2"] > 0.9 and found["overlap@2_chance"] == 0.05
    assert found["overlap@2_shuffled"] == pytest.approx(found["overlap@2"], abs=0.03)
    np.testing.assert_equal(consistency(first, first)["same_top1"], 1.0)


def test_a_model_that_tells_nothing_apart_agrees_on_nothing():
    equal = np.zeros((3, 40))
    found = consistency(equal, equal)
    assert found["same_top1"] == found["overlap@10"] == found["rank_correlation"] == 0


def test_rank_correlation_is_spearmans_with_ties():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 3, 20)).astype(float)
    expected = [stats.spearmanr(x, y).statistic for x, y in zip(first, second)]
    np.testing.assert_allclose(rank_correlations(first, second), expected)


def test_unrelated_lists_agree_by_chance():
    first, second = np.random.default_rng(1).standard_normal((2, 2000, 40))
    found = consistency(first, second)
    for name in ("same_top1", "overlap@10", "rank_correlation"):
        assert found[name] == pytest.approx(found[f"{name}_chance"], abs=0.02)


def test_a_short_corpus_overlaps_whole():
    assert consistency(FIRST, SECOND, k=10)["overlap@4"] == 1
    np.testing.assert_array_equal(best(np.zeros((1, 3)), 2), [[0, 1]])
    assert overlap(np.array([[4, 2]]), np.array([[2, 9]])) == [0.5]


def test_a_query_alone_has_no_others_to_be_shuffled_with():
    found = consistency(FIRST[:1], SECOND[:1], k=2)
    assert found["same_top1"] == 1 and np.isnan(found["same_top1_shuffled"])
