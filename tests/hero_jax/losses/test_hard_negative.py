import jax
import numpy as np
import pytest

from hero_jax.losses.hard_negative import HardNegative
from hero_jax.losses.info_nce import InfoNCE
from tests.hero_jax.losses.score_cases import by_hand, called, random_case


def published(temperature, hardness, prior):
    """The formula as a mean of exponentials, for one true pair."""

    def cost(true, rivals):
        weights = np.exp(hardness * rivals)
        weights /= weights.mean()
        mean = np.mean(weights * np.exp(rivals / temperature))
        mean = (mean - prior * np.exp(true / temperature)) / (1 - prior)
        against = len(rivals) * max(mean, np.exp(-1 / temperature))
        positive = np.exp(true / temperature)
        return -np.log(positive / (positive + against))

    return cost


def test_a_worked_example():
    scores, own = np.array([[0.3, 0.1, 0.2]], np.float32), np.array([[1, 0, 0]]) > 0
    objective = HardNegative(temperature=0.1, hardness=10.0)
    _, terms = called(objective, scores, own, ~own)
    # Weights e^1 : e^2 of mean 1 for negatives e^1 and e^2 beside a positive e^3.
    against = 2 * (np.exp(2) + np.exp(4)) / (np.exp(1) + np.exp(2))
    expected = -np.log(np.exp(3) / (np.exp(3) + against))
    assert terms["context"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("prior", [0.0, 0.1, 0.5])
def test_the_formula_in_plain_loops(prior):
    case = random_case(3)
    objective = HardNegative(temperature=0.5, hardness=2.0, prior=prior)
    _, terms = called(objective, *case)
    expected = by_hand(published(0.5, 2.0, prior), *case)
    np.testing.assert_allclose([terms["context"], terms["query"]], expected, rtol=1e-5)


def test_without_hardness_and_prior_it_is_info_nce():
    case = random_case(4)
    plain, _ = called(HardNegative(hardness=0.0), *case)
    np.testing.assert_allclose(plain, called(InfoNCE(), *case)[0], rtol=1e-5)


def test_very_hard_only_the_hardest_negative_counts():
    case = random_case(5)
    _, terms = called(HardNegative(temperature=0.5, hardness=1e4), *case)
    cost = lambda true, rivals: np.log1p(
        len(rivals) * np.exp((rivals.max() - true) / 0.5)
    )
    expected = by_hand(cost, *case)
    np.testing.assert_allclose([terms["context"], terms["query"]], expected, rtol=1e-5)
    scores, own = np.array([[0.5, 0.3, 0.45]], np.float32), np.array([[1, 0, 0]]) > 0
    objective = HardNegative(hardness=1e4)
    gradient = jax.grad(lambda s: called(objective, s, own, ~own)[1]["context"])(scores)
    assert gradient[0, 1] == pytest.approx(0)
    assert gradient[0, 2] > 0
