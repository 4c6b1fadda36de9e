import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.inter_intra import InterIntra
from tests.hero_jax.losses.score_cases import called, random_case

SCORES = np.array([[0.3, 0.1], [0.2, 0.4]], np.float32)
INTRA = np.array([[0.2, 0.0], [0.1, 0.3]], np.float32)
OWN = np.eye(2, dtype=bool)


def terms_of(scope, intra=INTRA):
    objective = InterIntra(temperature=0.1, intra_scope=scope)
    vectors = {"intra_scores": intra}
    return called(objective, SCORES, OWN, ~OWN, vectors=vectors)


def test_a_worked_example():
    e = np.exp
    total, terms = terms_of("own")
    own = [e(3) / (e(3) + e(1) + e(2)), e(4) / (e(4) + e(2) + e(3))]
    assert terms["context"] == pytest.approx(-np.log(own).mean(), rel=1e-6)
    # From videos to queries nothing is in disorder.
    expected = np.mean(np.log1p(np.exp([-1.0, -3.0])))
    assert terms["query"] == pytest.approx(expected, rel=1e-6)
    assert terms["intra_margin"] == pytest.approx(0.1, rel=1e-5)
    both = float(terms["context"] + terms["query"])
    assert total == pytest.approx(both / 2, rel=1e-6)


def test_the_disorder_of_other_videos_counts_where_it_is_asked_for():
    e = np.exp
    _, terms = terms_of("all")
    own = [
        e(3) / (e(3) + e(1) + e(2) + e(0)),
        e(4) / (e(4) + e(2) + e(1) + e(3)),
    ]
    assert terms["context"] == pytest.approx(-np.log(own).mean(), rel=1e-6)


def test_disorder_of_no_score_leaves_info_nce():
    scores, own, allowed = random_case()
    far = np.full_like(scores, -50)
    for scope in ("own", "all"):
        objective = InterIntra(intra_scope=scope)
        vectors = {"intra_scores": far}
        total, _ = called(objective, scores, own, allowed, vectors=vectors)
        nce, _ = called(InfoNCE(), scores, own, allowed)
        np.testing.assert_allclose(total, nce, rtol=1e-6)


def test_disorder_that_is_not_noticed_costs_log_two_at_least():
    sure = np.where(OWN, 1, -1).astype(np.float32)
    vectors = {"intra_scores": sure}
    _, terms = called(InterIntra(), sure, OWN, ~OWN, vectors=vectors)
    assert terms["context"] == pytest.approx(np.log(2), rel=1e-6)
    assert terms["intra_margin"] == 0


def test_constant_disordered_frames_still_teach_the_query():
    """What the head does without `has_intra_gradient`: stop frames, not scores."""
    rng = np.random.default_rng(0)
    queries, frames, broken = (rng.standard_normal((2, 3)).astype("f") for _ in "qfb")

    def loss(queries, broken):
        constant = jax.lax.stop_gradient(broken)
        vectors = {"intra_scores": queries @ constant.T}
        scores = queries @ frames.T
        return called(InterIntra(), scores, OWN, ~OWN, vectors=vectors)[0]

    of_query, of_frames = jax.grad(loss, (0, 1))(jnp.asarray(queries), broken)
    assert np.any(of_query != 0)
    assert not np.any(of_frames)


def test_missing_intra_scores_say_so():
    with pytest.raises(ValueError, match="videos in disorder"):
        called(InterIntra(), SCORES, OWN, ~OWN)
