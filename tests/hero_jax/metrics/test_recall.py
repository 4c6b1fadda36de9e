import numpy as np
import pytest

from hero_jax.metrics.recall import (
    is_correct,
    moment_ranks,
    ranking,
    recalls,
    rounded,
    temporal_iou,
)


def test_iou_by_hand():
    predicted = np.array([[0, 6], [3, 9], [7, 8], [2, 2]], float)
    true = np.array([3.0, 6.0])
    np.testing.assert_allclose(temporal_iou(predicted, true), [0.5, 0.5, 0, 0])
    assert temporal_iou(np.array([2.0, 2.0]), np.array([2.0, 2.0])) == 0


def test_a_threshold_reached_exactly_counts():
    assert is_correct(np.array([[0.0, 6.0]]), [(3.0, 6.0)], 0.5)[0]
    assert is_correct(np.array([[0.0, 10.0]]), [(0.0, 7.0)], 0.7)[0]


def test_four_annotators_need_two_to_agree():
    spans = [(0.0, 5.0), (5.0, 10.0), (20.0, 30.0), (3.0, 6.0)]
    assert not is_correct(np.array([[3.0, 6.0]]), spans, 0.5)[0]
    assert is_correct(np.array([[3.0, 6.0]]), [*spans, (3.0, 6.0)], 0.5)[0]
    assert is_correct(np.array([[3.0, 6.0]]), spans[1:], 0.5)[0]


def test_the_worked_example_of_the_official_metrics():
    """hero_spec.md T.10; the second query has one qualifying moment of two needed."""
    first = np.array([[1, 0, 3, 0], [0, 0, 6, 0], [0, 3, 9, 0]], float)
    second = np.array([[1, 3, 6, 0], [0, 0, 3, 0]], float)
    spans = [(0.0, 5.0), (0.0, 5.0), (5.0, 10.0), (3.0, 6.0)]

    moments = [[(3.2, 8.6)], spans]
    ranks = lambda threshold: moment_ranks([first, second], [0, 1], moments, threshold)
    half, strict = recalls(ranks(0.5)), recalls(ranks(0.7))
    assert (half["R@1"], half["R@5"], strict["R@5"]) == (0, 50, 50)


def test_ranks_become_percentages_and_means():
    metrics = ranking(np.array([1, 4, 20, 200]))
    assert metrics == {
        "R@1": 25,
        "R@5": 50,
        "R@10": 50,
        "R@100": 75,
        "MedR": 12,
        "MRR": pytest.approx((1 + 0.25 + 0.05 + 0.005) / 4),
    }


def test_rounding_is_for_display():
    assert rounded({"R@1": 100 / 3}) == {"R@1": 33.33}


def test_no_answer_is_an_infinite_rank():
    nothing = np.zeros((0, 4))
    assert moment_ranks([nothing], [0], [[(0.0, 1.0)]], 0.5).tolist() == [np.inf]
    assert moment_ranks([np.ones((3, 4))], [1], [[]], 0.5).tolist() == [np.inf]
    assert len(moment_ranks([], [], [], 0.5)) == 0
    assert recalls(np.array([np.inf]))["R@100"] == 0


@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_many_queries_at_once_are_ranked_like_one_row_at_a_time(threshold):
    rng = np.random.default_rng(0)
    rows, videos, moments = [], [], []
    for _ in range(200):
        start, length = rng.uniform(0, 20, (2, rng.integers(0, 30)))
        video = rng.integers(0, 3, len(start))
        rows.append(np.stack([video, start, start + length, start], axis=1))
        videos.append(int(rng.integers(0, 3)))
        true = rng.uniform(0, 20, rng.integers(0, 6))
        moments.append([(float(t), float(t) + 6) for t in true])
    for rank, row, video, true in zip(
        moment_ranks(rows, videos, moments, threshold), rows, videos, moments
    ):
        correct = is_correct(row[:, 1:3], true, threshold) & (row[:, 0] == video)
        assert rank == (np.argmax(correct) + 1 if correct.any() else np.inf)
