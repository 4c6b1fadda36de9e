import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.retrieval import answers
from hero_jax.retrieval.answers import corpus_moments, video_moments
from hero_jax.retrieval.index import build_index
from hero_jax.retrieval.spans import SpanRules


def boundary_probs(queries, frames, frame_mask):
    """A moment is where the frames' first feature rises and falls again."""
    edge = jnp.diff(frames[..., 0], axis=1)
    start = jnp.pad(edge, ((0, 0), (1, 0)))
    end = -jnp.pad(edge, ((0, 0), (0, 1)))
    hide = lambda logits: jnp.where(frame_mask, 9 * logits, -1e9)
    return jax.nn.softmax(hide(start)), jax.nn.softmax(hide(end))


def corpus():
    """Three videos about one thing each, with a moment each."""
    lengths, spans = (8, 6, 7), ((1, 3), (2, 4), (3, 5))
    videos = []
    for v, (length, (first, last)) in enumerate(zip(lengths, spans)):
        frames = np.zeros((length, 4), np.float32)
        frames[:, 1 + v] = 1
        frames[first : last + 1, 0] = 1
        videos.append(frames)
    return build_index(["a", "b", "c"], videos, [1.0, 2.0, 0.5], fingerprint="none")


QUERIES = np.eye(4, dtype=np.float32)[[3, 1, 2]]


def test_a_moment_is_found_in_the_right_video_at_the_right_seconds():
    found, rows = corpus_moments(QUERIES, corpus(), boundary_probs, SpanRules())
    np.testing.assert_array_equal(found.videos[:, 0], [2, 0, 1])
    best = [row[0, :3].tolist() for row in rows]
    assert best == [[2, 1.5, 3.0], [0, 1.0, 4.0], [1, 4.0, 10.0]]
    assert all(len(row) <= SpanRules().max_after_nms for row in rows)


def test_the_moment_in_a_given_video_is_found_whatever_the_query_is_about():
    rows = video_moments(
        QUERIES, corpus(), np.array([0, 0, 0]), boundary_probs, SpanRules()
    )
    assert [row[0, :3].tolist() for row in rows] == [[0, 1.0, 4.0]] * 3
    assert all(np.all(row[:, 0] == 0) for row in rows)


def test_blocks_of_queries_do_not_matter(monkeypatch):
    _, whole = corpus_moments(QUERIES, corpus(), boundary_probs, SpanRules())
    monkeypatch.setattr(answers, "QUERIES_AT_ONCE", 2)
    _, parts = corpus_moments(QUERIES, corpus(), boundary_probs, SpanRules())
    assert len(parts) == 3
    for ours, theirs in zip(whole, parts):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_only_the_best_videos_are_looked_into():
    _, rows = corpus_moments(QUERIES, corpus(), boundary_probs, SpanRules(max_videos=1))
    assert [set(row[:, 0]) for row in rows] == [{2}, {0}, {1}]
