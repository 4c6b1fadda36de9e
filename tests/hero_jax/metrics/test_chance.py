import numpy as np
import pytest

from hero_jax.metrics.chance import candidate_spans, moment_chances, video_chance
from hero_jax.metrics.recall import is_correct, ranking


def test_chance_in_a_corpus_of_four():
    chance = video_chance(4)
    assert chance["R@1"] == 25
    assert chance["R@5"] == chance["R@100"] == 100
    assert chance["MedR"] == 2.5
    assert chance["MRR"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_video_chance_is_the_mean_of_all_ranks():
    expected = ranking(np.arange(1, 251))
    assert video_chance(250) == pytest.approx(expected)


def test_candidates_of_three_frames():
    spans = candidate_spans(3, 2.0, min_frames=1, max_frames=3)
    np.testing.assert_array_equal(spans, [[0, 4], [0, 6], [2, 6]])
    assert candidate_spans(1, 2.0, min_frames=1, max_frames=3).shape == (0, 2)


def test_one_correct_of_three_is_found_first_a_third_of_the_time():
    spans = [candidate_spans(3, 2.0, min_frames=1, max_frames=3)] * 2
    chances = moment_chances(spans, [1], [[(0.0, 4.0)]])
    own, corpus = chances["SVMR"], chances["VCMR"]
    assert own["0.7"]["R@1"] == pytest.approx(100 / 3)
    assert own["0.7"]["R@5"] == pytest.approx(100)
    assert corpus["0.7"]["R@1"] == pytest.approx(100 / 6)
    assert corpus["0.7"]["R@5"] == pytest.approx(500 / 6)


def test_chance_agrees_with_shuffling():
    spans = candidate_spans(12, 1.5, min_frames=1, max_frames=8)
    truth = [(3.0, 9.0)]
    correct = is_correct(spans, truth, 0.5)
    rng = np.random.default_rng(0)
    hits = [np.any(rng.permutation(correct)[:5]) for _ in range(4000)]
    expected = moment_chances([spans], [0], [truth])["SVMR"]["0.5"]["R@5"]
    assert 100 * np.mean(hits) == pytest.approx(expected, abs=2.5)
