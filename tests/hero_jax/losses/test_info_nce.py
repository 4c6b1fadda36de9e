import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.ranking import VSM

DIAGONAL = np.eye(3, dtype=bool)


def test_uniform_scores_are_a_guess_among_all():
    scores = np.zeros((3, 3), np.float32)
    loss, terms = InfoNCE()(scores, DIAGONAL, ~DIAGONAL, step=0)
    np.testing.assert_allclose(loss, np.log(3), rtol=1e-6)
    np.testing.assert_allclose(terms["context"], np.log(3), rtol=1e-6)


def test_two_by_two_matches_hand_computation():
    scores = np.array([[0.3, 0.1], [0.2, 0.4]], np.float32)
    own = np.eye(2, dtype=bool)
    _, terms = InfoNCE(temperature=0.1)(scores, own, ~own, step=0)
    # -log e^3 / (e^3 + e^1) and -log e^4 / (e^4 + e^2); columns: gaps 1 and 3.
    np.testing.assert_allclose(terms["context"], np.log1p(np.exp(-2.0)), rtol=1e-6)
    expected = np.mean(np.log1p(np.exp([-1.0, -3.0])))
    np.testing.assert_allclose(terms["query"], expected, rtol=1e-6)


def test_a_videos_other_queries_are_not_in_the_denominator():
    scores = np.array([[0.9, 0.1], [0.1, 0.1], [0.0, 0.8]], np.float32)
    own = np.array([[1, 0], [1, 0], [0, 1]], bool)
    _, terms = InfoNCE(temperature=1.0)(scores, own, ~own, step=0)
    of_first = np.mean(np.log1p(np.exp([0.0 - 0.9, 0.0 - 0.1])))
    of_second = np.log(np.exp([0.1, 0.1, 0.8]).sum()) - 0.8
    np.testing.assert_allclose(terms["query"], (of_first + of_second) / 2, rtol=1e-6)


def test_a_forbidden_pair_is_in_no_denominator():
    scores = np.array([[0.5, 0.9], [0.9, 0.5]], np.float32)
    own = np.eye(2, dtype=bool)
    loss, _ = InfoNCE()(scores, own, np.zeros((2, 2), bool), step=0)
    assert loss == 0


def test_with_one_negative_it_is_the_lse_ranking_loss():
    """The relation that crosslingual.md 3.2 states between the two objectives."""
    scores = np.array([[0.5, 0.2], [0.3, 0.6]], np.float32)
    own = np.eye(2, dtype=bool)
    nce, _ = InfoNCE(temperature=1.0)(scores, own, ~own, step=0)
    lse, _ = VSM(kind="lse", context_weight=0.5, query_weight=0.5)(
        scores, own, ~own, step=0
    )
    np.testing.assert_allclose(nce, lse, rtol=1e-6)


def test_the_learned_temperature_starts_where_the_fixed_one_is():
    scores = np.random.default_rng(0).uniform(-1, 1, (3, 3)).astype(np.float32)
    learned = InfoNCE(is_learned=True)
    vectors = {"log_scale": jnp.log(1 / 0.07)}
    same, _ = learned(scores, DIAGONAL, ~DIAGONAL, step=0, vectors=vectors)
    fixed, _ = InfoNCE()(scores, DIAGONAL, ~DIAGONAL, step=0)
    np.testing.assert_allclose(same, fixed, rtol=1e-5)


def test_a_capped_scale_can_still_come_down():
    scores = jnp.array([[0.1, 0.5], [0.5, 0.1]])  # wrong: a smaller scale is better
    own = np.eye(2, dtype=bool)
    objective = InfoNCE(is_learned=True, max_scale=10.0)

    def loss(log_scale):
        vectors = {"log_scale": log_scale}
        value, terms = objective(scores, own, ~own, step=0, vectors=vectors)
        return value, terms["temperature"]

    (_, temperature), gradient = jax.value_and_grad(loss, has_aux=True)(8.0)
    np.testing.assert_allclose(temperature, 1 / 10, rtol=1e-5)
    assert gradient > 0


def test_a_missing_temperature_says_so():
    with pytest.raises(ValueError, match="let the head learn one"):
        InfoNCE(is_learned=True)(np.zeros((3, 3)), DIAGONAL, ~DIAGONAL, step=0)
