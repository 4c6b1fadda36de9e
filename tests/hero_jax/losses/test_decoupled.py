import jax
import numpy as np
import pytest

from hero_jax.losses.decoupled import Decoupled
from hero_jax.losses.info_nce import InfoNCE
from tests.hero_jax.losses.score_cases import by_hand, called, random_case


def test_a_worked_example():
    scores, own = np.array([[0.3, 0.1], [0.2, 0.4]], np.float32), np.eye(2) > 0
    total, terms = called(Decoupled(temperature=0.1), scores, own, ~own)
    assert terms["context"] == pytest.approx(-2)  # 1 - 3 and 2 - 4
    assert terms["query"] == pytest.approx(-2)  # 2 - 3 and 1 - 4
    assert total == pytest.approx(-2)


def test_the_formula_in_plain_loops():
    case = random_case()
    cost = lambda true, rivals: np.log(np.exp(rivals / 0.07).sum()) - true / 0.07
    _, terms = called(Decoupled(), *case)
    expected = by_hand(cost, *case)
    np.testing.assert_allclose([terms["context"], terms["query"]], expected, rtol=1e-5)


def test_info_nce_is_it_with_one_more_term():
    """A pair costs d here and log(1 + e^d) there."""
    scores, own = np.array([[0.3, 0.1, 0.25]], np.float32), np.array([[1, 0, 0]]) > 0
    ours = called(Decoupled(), scores, own, ~own)[1]["context"]
    theirs = called(InfoNCE(), scores, own, ~own)[1]["context"]
    np.testing.assert_allclose(theirs, np.log1p(np.exp(ours)), rtol=1e-5)


def test_its_gradient_does_not_fade():
    scores, own = np.array([[0.9, -0.9], [-0.9, 0.9]], np.float32), np.eye(2) > 0
    slope = lambda objective: jax.grad(lambda s: called(objective, s, own, ~own)[0])(
        scores
    )[0, 0]
    assert slope(Decoupled()) == pytest.approx(-0.5 / 0.07)
    assert abs(slope(InfoNCE())) < 1e-6
