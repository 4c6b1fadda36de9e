"""Which videos fit a query best: exact search, one chunk of the corpus at a time."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.retrieval.index import NORM_FLOOR, CorpusIndex, Score
from hero_jax.types import Array, Bool, Float, Int

VIDEOS_AT_ONCE = 256
QUERIES_AT_ONCE = 256


class Found(NamedTuple):
    """The K best videos of each query, best first."""

    scores: Float[Array, "Q K"]
    """Cosine of the query with the best frame of the video."""
    videos: Int[Array, "Q K"]
    """Positions in the index. Of equal scores the lower position comes first."""


def search(
    query_vectors: Float[Array, "Q D"],
    index: CorpusIndex,
    k: int,
    *,
    chunk: int = VIDEOS_AT_ONCE,
) -> Found:
    """The best `k` videos, or all of them where the corpus is smaller (H-3).

    Only `chunk` videos and the best so far are held at a time.
    """
    k = min(k, len(index))
    blocks = [_best(block, index, k, chunk) for block in _blocks(query_vectors)]
    scores, videos = (np.concatenate(parts) for parts in zip(*blocks))
    return Found(scores[: len(query_vectors)], videos[: len(query_vectors)])


def true_ranks(
    query_vectors: Float[Array, "Q D"],
    index: CorpusIndex,
    true_videos: Int[Array, "Q"],
    *,
    chunk: int = VIDEOS_AT_ONCE,
) -> Int[Array, "Q"]:
    """Rank of each query's true video among all, 1 the best.

    Pessimistic: a video of equal score counts as better, so that a model which scores
    everything alike ranks last. Equal is to the last bit: means and soft maxima over
    different numbers of frames may differ by rounding alone.
    """
    found = []
    for number, block in enumerate(_blocks(query_vectors)):
        true = np.asarray(true_videos[number * QUERIES_AT_ONCE :][: len(block)])
        scores = _block_scores(block, index, chunk)[: len(true)]
        own = np.take_along_axis(scores, true[:, None], axis=1)
        found.append(np.sum(~(scores < own), axis=1))  # the true video is one of them
    return np.concatenate(found)


def all_scores(
    query_vectors: Float[Array, "Q D"],
    index: CorpusIndex,
    *,
    chunk: int = VIDEOS_AT_ONCE,
) -> Float[Array, "Q N"]:
    """Every query with every video, for measures that look at whole lists."""
    blocks = [_block_scores(one, index, chunk) for one in _blocks(query_vectors)]
    return np.concatenate(blocks)[: len(query_vectors)]


def _block_scores(
    queries: Float[Array, "Q D"], index: CorpusIndex, chunk: int
) -> Float[Array, "Q N"]:
    parts = [np.asarray(part) for part, _ in _scores(queries, index, chunk)]
    return np.concatenate(parts, axis=1)[:, : len(index)]


def _best(
    queries: Float[Array, "Q D"], index: CorpusIndex, k: int, chunk: int
) -> Found:
    scores = jnp.full((len(queries), k), -jnp.inf)
    found = Found(scores, jnp.full(scores.shape, len(index), jnp.int32))
    for part, first in _scores(queries, index, chunk):
        found = _merge(found, part, first)
    return Found(np.asarray(found.scores), np.asarray(found.videos))


@jax.jit
def _merge(
    found: Found, scores: Float[Array, "Q N"], first: Int[Array, ""] | int
) -> Found:
    """The best of those found before and of a chunk that starts at `first`.

    `top_k` prefers the earlier of equals, and whatever was found before comes earlier.
    """
    videos = jnp.broadcast_to(first + jnp.arange(scores.shape[1]), scores.shape)
    scores = jnp.concatenate([found.scores, scores], axis=1)
    videos = jnp.concatenate([found.videos, videos], axis=1)
    best, place = jax.lax.top_k(scores, found.scores.shape[1])
    return Found(best, jnp.take_along_axis(videos, place, axis=1))


def _blocks(query_vectors: Float[Array, "Q D"]) -> Iterator[Float[Array, "N D"]]:
    """Queries in blocks of one shape, the last filled up with zeros; at least one."""
    total = max(len(query_vectors), 1)
    size = min(QUERIES_AT_ONCE, total)
    for start in range(0, total, size):
        block = np.asarray(query_vectors[start : start + size], np.float32)
        yield np.pad(block, ((0, size - len(block)), (0, 0)))


def _scores(
    queries: Float[Array, "Q D"], index: CorpusIndex, chunk: int
) -> Iterator[tuple[Float[Array, "Q N"], int]]:
    """Scores with one chunk of videos after the other, and where each chunk starts."""
    size = min(chunk, len(index))
    for first in range(0, len(index), size):
        part = slice(first, first + size)
        arrays = (index.frames[part], index.scale[part], index.frame_mask[part])
        missing = size - len(arrays[0])
        padded = [np.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1)) for a in arrays]
        scores = _chunk_scores(queries, *padded, score=index.score)
        if missing:
            scores = scores.at[:, -missing:].set(-jnp.inf)
        yield scores, first


@functools.partial(jax.jit, static_argnames="score")
def _chunk_scores(
    queries: Float[Array, "Q D"],
    frames: Float[Array, "N F D"],
    scale: Float[Array, "N F"],
    frame_mask: Bool[Array, "N F"],
    *,
    score: Score,
) -> Float[Array, "Q N"]:
    """Cosines of each query with the frames of each video (A.6), as one score."""
    lengths = jnp.linalg.norm(queries, axis=1, keepdims=True)
    unit = (queries / jnp.maximum(lengths, NORM_FLOOR)).astype(frames.dtype)
    # Frames on the left: one flat product, the fastest form on a CPU.
    cosine = jnp.einsum("nfd,qd->nfq", frames, unit, preferred_element_type=jnp.float32)
    cosine = jnp.moveaxis(cosine * scale[..., None], 1, 2)
    return score(cosine, jnp.broadcast_to(frame_mask[:, None], cosine.shape)).T
