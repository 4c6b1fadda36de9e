import numpy as np
import pytest

from hero_jax.metrics.accuracy import answer_accuracy, verdict_accuracy


def test_answers_are_right_where_the_best_candidate_is_the_label():
    logits = np.array([[2.0, 0, 0], [0, 1, 5], [0, 9, 0], [0, 0, 1]])
    found = answer_accuracy(logits, np.array([0, 1, 1, -1]))
    assert found["accuracy"] == pytest.approx(200 / 3)
    assert found["num_texts"] == 4
    assert found["chance"] == {"accuracy": pytest.approx(100 / 3)}
    first = np.log(np.exp(2) + 2) - 2
    second = np.log(1 + np.e + np.exp(5)) - 1
    third = np.log(2 + np.exp(9)) - 9
    assert found["loss"] == pytest.approx((first + second + third) / 3)


def test_verdicts_are_true_above_one_half():
    found = verdict_accuracy(
        np.array([0.5, -1.0, 3.0, -2.0, 0.0]), np.array([1, 0, 0, -1, 1])
    )
    assert found["accuracy"] == 50.0  # a logit of 0 is no yes
    assert found["chance"] == {"accuracy": 50.0}
    losses = [np.log1p(np.exp(x)) for x in (-0.5, -1, 3, 0)]
    assert found["loss"] == pytest.approx(np.mean(losses))


def test_always_giving_the_more_frequent_verdict_is_chance():
    found = verdict_accuracy(np.ones(4), np.array([1, 1, 0, 1]))
    assert found["chance"] == {"accuracy": 75.0}
    assert found["accuracy"] == 75.0


def test_without_labels_nothing_is_measured():
    unknown = np.array([-1, -1])
    for found in (
        answer_accuracy(np.zeros((2, 4)), unknown),
        verdict_accuracy(np.zeros(2), unknown),
    ):
        assert found["accuracy"] is None
        assert found["loss"] is None
        assert found["num_texts"] == 2
