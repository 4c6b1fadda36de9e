"""From query vectors to moments: the best videos first, then spans in those alone."""

from collections.abc import Callable, Iterator

import numpy as np

from hero_jax.retrieval.index import CorpusIndex
from hero_jax.retrieval.nms import final_moments
from hero_jax.retrieval.search import Found, search
from hero_jax.retrieval.spans import (
    SpanRules,
    Spans,
    best_spans,
    exponential_weights,
    moments,
)
from hero_jax.types import Array, Bool, Float, Int

QUERIES_AT_ONCE = 16

BoundaryProbs = Callable[[Array, Array, Array], tuple[Array, Array]]
"""(queries [N D], frames [N F D], frame_mask [N F]) -> probabilities over the frames of
the first and of the last, [N F] each.

Called as it is: compile it, with the parameters as arguments, where it is made.
"""
Rows = list[Float[np.ndarray, "N 4"]]
"""For each query its answers, best first: video, start, end (seconds), score."""


def corpus_moments(
    query_vectors: Float[Array, "Q D"],
    index: CorpusIndex,
    boundary_probs: BoundaryProbs,
    rules: SpanRules,
) -> tuple[Found, Rows]:
    """The best videos of each query, and its best moments among those (VCMR)."""
    found = search(query_vectors, index, rules.max_videos)
    weights = np.asarray(exponential_weights(found.scores, rules.alpha))
    rows = moments_among(
        query_vectors, index, found.videos, weights, boundary_probs, rules
    )
    return found, rows


def video_moments(
    query_vectors: Float[Array, "Q D"],
    index: CorpusIndex,
    videos: Int[Array, "Q"],
    boundary_probs: BoundaryProbs,
    rules: SpanRules,
) -> Rows:
    """The best moments of each query in the one video it is asked of (SVMR)."""
    one, weights = np.asarray(videos)[:, None], np.ones((len(videos), 1), np.float32)
    return moments_among(query_vectors, index, one, weights, boundary_probs, rules)


def moments_among(
    query_vectors: Float[Array, "Q D"],
    index: CorpusIndex,
    videos: Int[Array, "Q K"],
    weights: Float[Array, "Q K"],
    boundary_probs: BoundaryProbs,
    rules: SpanRules,
) -> Rows:
    """The best moments of each query in some videos, which count by their weights."""
    arrays = (np.asarray(query_vectors), np.asarray(videos), np.asarray(weights))
    rows: Rows = []
    for queries, candidates, weight in _blocks(*arrays):
        frames, mask = index.frames[candidates], index.frame_mask[candidates]
        spans = _best(queries, frames, mask, weight, boundary_probs, rules)
        found = moments(spans, candidates, index.intervals)
        rows += [final_moments(row, rules) for row in found]
    return rows[: len(videos)]


def _blocks(*arrays: np.ndarray) -> Iterator[list[np.ndarray]]:
    """A few queries at a time, always as many, the last filled up with repetitions."""
    total = len(arrays[0])
    size = min(QUERIES_AT_ONCE, total)
    for start in range(0, total, size or 1):
        rows = np.minimum(np.arange(start, start + size), total - 1)
        yield [array[rows] for array in arrays]


def _best(
    queries: Float[Array, "Q D"],
    frames: Float[Array, "Q K F D"],
    frame_mask: Bool[Array, "Q K F"],
    weights: Float[Array, "Q K"],
    boundary_probs: BoundaryProbs,
    rules: SpanRules,
) -> Spans:
    """Spans over all candidates of each query; each pair is one row to the model."""
    num_queries, num_videos, num_frames = frame_mask.shape
    start, end = boundary_probs(
        np.repeat(queries, num_videos, axis=0),
        frames.reshape(num_queries * num_videos, num_frames, -1),
        frame_mask.reshape(num_queries * num_videos, num_frames),
    )
    start, end = start.reshape(frame_mask.shape), end.reshape(frame_mask.shape)
    return best_spans(start, end, weights, np.sum(frame_mask, axis=-1), rules)
