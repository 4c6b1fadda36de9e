import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model import moment
from hero_jax.model.layers import Numerics
from hero_jax.model.moment import (
    FrameScore,
    boundary_logits,
    normalise,
    video_scores,
)

RNG = np.random.default_rng(0)
QUERIES = RNG.standard_normal((3, 5)).astype(np.float32)
FRAMES = RNG.standard_normal((4, 7, 5)).astype(np.float32)
MASK = np.arange(7) < np.array([7, 1, 4, 3])[:, None]


def test_the_score_is_the_cosine_with_the_best_frame():
    queries = np.array([[3.0, 4.0], [0.0, 2.0]])
    frames = np.array([[[4.0, 3.0], [0.0, -1.0]], [[-1.0, 0.0], [9.0, 12.0]]])
    mask = np.array([[True, True], [True, False]])
    scores = video_scores(*map(np.float32, (queries, frames)), mask)
    np.testing.assert_allclose(scores, [[0.96, -0.6], [0.6, 0]], atol=1e-6)


def test_a_video_without_frames_scores_below_any_cosine():
    scores = video_scores(QUERIES, FRAMES, MASK & np.array([1, 0, 1, 1], bool)[:, None])
    assert np.all(scores[:, 1] < -1)


def test_a_score_of_all_frames_is_their_mean_or_between_it_and_the_best():
    frames, everywhere = np.eye(2, dtype=np.float32)[None], np.ones((1, 2), bool)
    queries = np.array([[3.0, 4.0]], np.float32)  # cosines .6 and .8
    score = lambda *kind: video_scores(queries, frames, everywhere, FrameScore(*kind))
    np.testing.assert_allclose(score("mean"), [[0.7]], rtol=1e-6)
    expected = np.log((np.exp(6) + np.exp(8)) / 2) / 10
    np.testing.assert_allclose(score("log_sum_exp", 10.0), [[expected]], rtol=1e-6)
    np.testing.assert_allclose(score("log_sum_exp", 1e-3), [[0.7]], atol=1e-4)
    np.testing.assert_allclose(score("log_sum_exp", 1e4), [[0.8]], atol=1e-4)


every_score = pytest.mark.parametrize("kind", ["max", "mean", "log_sum_exp"])


@every_score
def test_frames_that_do_not_exist_count_in_no_score(kind):
    score = FrameScore(kind)
    padded = np.where(MASK[..., None], FRAMES, 7)
    scores = video_scores(QUERIES, padded, MASK, score)
    for video, mask in enumerate(MASK):
        alone = FRAMES[video : video + 1, mask]
        whole = video_scores(QUERIES, alone, np.ones((1, mask.sum()), bool), score)
        np.testing.assert_allclose(scores[:, video], whole[:, 0], rtol=1e-5)
    assert np.all(video_scores(QUERIES, FRAMES, ~MASK & False, score) < -1)


@every_score
def test_blocks_of_frames_change_neither_value_nor_gradient(monkeypatch, kind):
    weights = RNG.standard_normal((3, 4)).astype(np.float32)
    score = FrameScore(kind)
    total = lambda q, f: jnp.sum(video_scores(q, f, MASK, score) * weights)
    both = lambda: jax.jit(jax.value_and_grad(total, (0, 1)))(QUERIES, FRAMES)
    expected = both()
    for limit in (12, 36, 60):  # 1, 3 and 5 frames at a time; the last block is short
        monkeypatch.setattr(moment, "MAX_DENSE_SCORES", limit)
        jax.tree.map(
            lambda a, e: np.testing.assert_allclose(a, e, atol=1e-6), both(), expected
        )


def test_no_array_of_queries_by_videos_by_frames_exists_in_blocks(monkeypatch):
    monkeypatch.setattr(moment, "MAX_DENSE_SCORES", 36)
    total = lambda q: jnp.sum(video_scores(q, FRAMES, MASK))
    text = str(jax.make_jaxpr(jax.grad(total))(QUERIES))
    assert "f32[3,4,7]" not in text
    assert "f32[3,4,3]" in text


def test_zero_vectors_have_score_and_gradient_zero():
    zeros = np.zeros((2, 5), np.float32)
    total = lambda q, f: jnp.sum(video_scores(q, f, np.ones((2, 1), bool)))
    both = jax.jit(jax.value_and_grad(total, (0, 1)))
    value, (of_query, of_frame) = both(zeros, zeros[:, None])
    assert value == 0
    assert np.all(of_query == 0)
    assert np.all(of_frame == 0)


def test_short_vectors_are_divided_by_the_floor():
    assert np.allclose(normalise(np.array([[3e-6, 4e-6]])), [[0.3, 0.4]])
    assert np.allclose(normalise(np.array([[3.0, 4.0]])), [[0.6, 0.8]])


def test_the_filter_reaches_two_frames_to_both_sides():
    similarity = np.array([1.0, 10.0, 100.0, 1000.0], np.float32)
    weights = np.array([1.0, 2.0, 3.0, 4.0, 5.0], np.float32)
    everywhere = np.ones(4, bool)
    logits = boundary_logits(similarity, everywhere, weights, Numerics())
    expected = [3 + 40 + 500, 2 + 30 + 400 + 5000, 1 + 20 + 300 + 4000, 10 + 200 + 3000]
    assert np.array_equal(logits, expected)


def test_nothing_lies_beyond_the_end_of_a_video_but_officially():
    weights = np.ones(5, np.float32)
    mask = np.array([True, True, False, False])
    logits = lambda beyond, **numerics: boundary_logits(
        np.array([1.0, 2.0, beyond, beyond], np.float32),
        mask,
        weights,
        Numerics(**numerics),
    )
    assert np.array_equal(logits(50.0)[:2], [3, 3])
    assert np.all(logits(50.0)[2:] < -1e8)
    assert np.array_equal(logits(50.0, official=True)[:2], [53, 103])  # H-12
    assert np.array_equal(logits(50.0, official=True)[2:], [-1e4, -1e4])


@pytest.mark.parametrize("official", [False, True])
def test_own_videos_are_the_diagonal_of_all_videos(official):
    predictor = moment.SpanPredictor(5, Numerics(official=official))
    frames, mask = FRAMES[:3], MASK[:3]
    params = predictor.init(jax.random.key(0), QUERIES, frames, mask)
    own = predictor.apply(params, QUERIES, frames, mask)
    everywhere = predictor.apply(params, QUERIES, frames, mask, method="everywhere")
    for one, all_ in zip(own, everywhere):
        np.testing.assert_allclose(one, all_[np.arange(3), np.arange(3)], atol=1e-6)
