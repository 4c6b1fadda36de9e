import dataclasses

import numpy as np
import pytest

from hero_jax.model.moment import FrameScore, video_scores
from hero_jax.retrieval import search as module
from hero_jax.retrieval.index import build_index
from hero_jax.retrieval.search import all_scores, search, true_ranks

LENGTHS = (4, 1, 7, 2, 2, 5, 3, 6, 1, 4, 3)


def corpus(lengths=LENGTHS, width=8, seed=0):
    rng = np.random.default_rng(seed)
    frames = [rng.normal(size=(n, width)).astype(np.float32) for n in lengths]
    return frames, index_of(frames)


def index_of(frames):
    names = [f"v{i}" for i in range(len(frames))]
    return build_index(names, frames, [1.5] * len(frames), fingerprint="none")


def queries(count, width=8, seed=1):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def brute_force(vectors, frames):
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
    return np.stack([(unit(vectors) @ unit(f).T).max(axis=1) for f in frames], axis=1)


def test_the_best_frame_decides():
    frames = [np.eye(2, dtype=np.float32), np.array([[3.0, 3.0]], np.float32)]
    found = search(np.array([[2.0, 0.0], [1.0, 1.0]], np.float32), index_of(frames), 2)
    np.testing.assert_array_equal(found.videos, [[0, 1], [1, 0]])
    half = 2**-0.5
    np.testing.assert_allclose(found.scores, [[1, half], [1, half]], rtol=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 4, 11, 100])
def test_any_chunk_finds_what_brute_force_finds(chunk):
    frames, index = corpus()
    vectors = queries(5)
    scores = brute_force(vectors, frames)
    found = search(vectors, index, 4, chunk=chunk)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(found.videos, order)
    expected = np.take_along_axis(scores, order, axis=1)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)


REDUCTIONS = {"mean": np.mean, "max": np.max}


@pytest.mark.parametrize("kind", ["max", "mean", "log_sum_exp"])
@pytest.mark.parametrize("chunk", [3, 100])
def test_the_score_a_model_is_trained_by_is_the_one_it_is_searched_by(kind, chunk):
    frames, index = corpus()
    index = dataclasses.replace(index, score=FrameScore(kind, sharpness=4.0))
    found = all_scores(queries(5), index, chunk=chunk)
    trained = video_scores(queries(5), index.frames, index.frame_mask, index.score)
    np.testing.assert_allclose(found, trained, rtol=1e-5, atol=1e-6)
    if kind in REDUCTIONS:
        unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
        cosines = [unit(queries(5)) @ unit(f).T for f in frames]
        expected = [REDUCTIONS[kind](c, axis=1) for c in cosines]
        np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-6)


def test_blocks_of_queries_do_not_matter(monkeypatch):
    _, index = corpus()
    vectors = queries(7)
    whole, own = search(vectors, index, 3), np.arange(7)
    whole_ranks = true_ranks(vectors, index, own)
    monkeypatch.setattr(module, "QUERIES_AT_ONCE", 3)
    np.testing.assert_array_equal(search(vectors, index, 3).videos, whole.videos)
    np.testing.assert_array_equal(true_ranks(vectors, index, own), whole_ranks)


def test_a_corpus_smaller_than_k_is_answered_whole():
    _, index = corpus(lengths=(2, 3))
    assert search(queries(2), index, 100).videos.shape == (2, 2)


@pytest.mark.parametrize("chunk", [2, 3, 7])
def test_of_equal_videos_the_first_comes_first(chunk):
    frames = [np.ones((2, 4), np.float32)] * 7
    found = search(np.ones((1, 4), np.float32), index_of(frames), 5, chunk=chunk)
    np.testing.assert_array_equal(found.videos, [[0, 1, 2, 3, 4]])


def test_a_video_without_frames_comes_last():
    frames = [np.zeros((0, 4), np.float32), -np.ones((1, 4), np.float32)]
    found = search(np.ones((1, 4), np.float32), index_of(frames), 2)
    np.testing.assert_array_equal(found.videos, [[1, 0]])


def test_zero_vectors_score_zero():
    frames = [np.zeros((1, 4), np.float32)]
    found = search(np.zeros((2, 4), np.float32), index_of(frames), 1)
    np.testing.assert_array_equal(found.scores, [[0], [0]])


@pytest.mark.parametrize("chunk", [3, 100])
def test_ranks_are_places_in_the_whole_order(chunk):
    frames, index = corpus()
    vectors, own = queries(6), np.array([0, 5, 10, 3, 3, 1])
    order = np.argsort(-brute_force(vectors, frames), axis=1)
    expected = [1 + list(row).index(v) for row, v in zip(order, own)]
    ranks = true_ranks(vectors, index, own, chunk=chunk)
    np.testing.assert_array_equal(ranks, expected)


def test_a_tie_ranks_as_the_worst_of_its_equals():
    frames = [np.ones((1, 4), np.float32)] * 3 + [-np.ones((1, 4), np.float32)]
    ranks = true_ranks(np.ones((2, 4), np.float32), index_of(frames), np.array([0, 3]))
    np.testing.assert_array_equal(ranks, [3, 4])
